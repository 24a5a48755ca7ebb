"""Plain messages: built without asking their class, and never told from those that it makes."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
    message_to_dict,
    messages_from_dict,
)
from pydantic import ConfigDict, Field, PrivateAttr, field_validator, model_validator
from test_codec import (
    BY_CLASS,
    CALL,
    CLASSES,
    EACH_CLASS,
    JSON,
    MESSAGES,
    PROVIDER_CALL,
    decode,
    encode,
    has_split_pair,
    same,
)

from langchain_redis_memory.errors import CorruptedDataError
from langchain_redis_memory.storage import plain

THOROUGH = settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
NEVER_PLAIN = {AIMessageChunk, RemoveMessage}
SOME = [
    HumanMessage("Hé", id="1", name="alice"),
    HumanMessage(["a", {"type": "text", "text": "b", "more": [1]}]),
    SystemMessage("be kind", additional_kwargs={"a": {"b": [1]}}),
    AIMessage("", tool_calls=[CALL], additional_kwargs={"tool_calls": [PROVIDER_CALL]}),
    AIMessage(
        "x",
        response_metadata={"output_version": "v1"},
        usage_metadata={
            "input_tokens": 1,
            "output_tokens": 2,
            "total_tokens": 3,
            "input_token_details": {"audio": 0, "cache_read": 1},
            "output_token_details": {"reasoning": 1},
        },
    ),
    ToolMessage("r", tool_call_id="1", artifact={"rows": [1.5, None]}, status="error"),
]


def looks(message: BaseMessage) -> dict[str, Any]:
    """Everything that can be seen of a message."""
    changed = message.model_copy(update={"name": "other"}, deep=True)
    assigned = copy.deepcopy(message)
    assigned.name = "assigned"
    pickled = pickle.loads(pickle.dumps(message))
    return {
        "fields": list(message.__dict__.items()),
        "set": message.model_fields_set,
        "extra": message.__pydantic_extra__,
        "private": message.__pydantic_private__,
        "repr": repr(message),
        "text": str(message.text),
        "blocks": _blocks(message),
        "dump": list(message.model_dump().items()),
        "unset": message.model_dump(exclude_unset=True),
        "defaults": message.model_dump(exclude_defaults=True),
        "langchain": message_to_dict(message),
        "to_json": message.to_json(),
        "iter": list(message),
        "copies": [
            (list(it.__dict__.items()), it.model_fields_set, it.__pydantic_extra__)
            for it in (changed, assigned, pickled, copy.copy(message), message.model_copy())
        ],
    }


def _blocks(message: BaseMessage) -> Any:
    try:
        return message.content_blocks
    except Exception as error:  # noqa: BLE001 - of both or of none
        return type(error)


def by_class(element: bytes) -> BaseMessage:
    """Read an element as LangChain does."""
    return messages_from_dict([json.loads(element)])[0]


def check_same(message: BaseMessage, other: BaseMessage) -> None:
    assert type(message) is type(other)
    ours, theirs = looks(message), looks(other)
    assert {name for name in ours if not alike(ours[name], theirs[name])} == set()


def alike(one: Any, other: Any) -> bool:
    """Compare as `same` does, within tuples and sets too."""
    if isinstance(one, tuple) and isinstance(other, tuple):
        one, other = list(one), list(other)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other))
    return same(one, other)


def is_plain(element: bytes) -> bool:
    stored = json.loads(element)
    return plain.plain_message(stored["type"], stored["data"]) is not None


@EACH_CLASS
def test_a_message_cannot_be_told_from_one_that_its_class_made(cls):
    """Fields, their order and types, what was set, copies, dumps: all are those of validation."""

    @THOROUGH
    @given(BY_CLASS[cls])
    def check(message):
        theirs = json.dumps(message_to_dict(message)).encode()
        check_same(decode(theirs), by_class(theirs))
        if has_split_pair(message):
            return
        ours = encode(message)
        if not json.loads(ours).keys() & {"assigned", "apart"}:
            check_same(decode(ours), by_class(ours))

    check()


@pytest.mark.parametrize("message", SOME, ids=lambda message: message.type)
def test_what_is_usual_is_plain(message):
    """LangChain's classes are known here as they are installed: if this fails, look at them."""
    assert is_plain(encode(message))
    assert is_plain(json.dumps(message_to_dict(message)).encode())
    check_same(decode(encode(message)), by_class(encode(message)))
    assert decode(encode(message)) == message


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_class_is_known(cls):
    """Only those whose validators make something of most messages have no plain ones."""
    assert (cls in plain._BY_CLASS) is (cls not in NEVER_PLAIN)


NAMES = st.sampled_from([*AIMessage.model_fields, "tool_call_id", "status", "role", "self", "more"])
CHANGES = st.lists(st.tuples(st.sampled_from(["set", "drop", "first"]), NAMES, JSON), max_size=3)
LIKELY = st.sampled_from(
    [
        *(None, True, 1, "x", [], {}, ["x"], [{}], [1], "success", "ai", "human", "\ud800"),
        [{**CALL, "id": 1}],
        [{**CALL, "args": []}],
        [{**CALL, "type": "other"}],
        [{"args": {}, "name": "f", "id": "1", "type": "tool_call"}],
        {"input_tokens": 1, "output_tokens": 1, "total_tokens": True},
        {"total_tokens": 1, "input_tokens": 1, "output_tokens": 1},
        {
            **dict.fromkeys(["input_tokens", "output_tokens", "total_tokens"], 1),
            "input_token_details": {"audio": 1.0},
        },
    ]
)


@settings(THOROUGH, max_examples=300)
@given(MESSAGES | st.sampled_from(SOME), CHANGES, st.lists(LIKELY, min_size=3, max_size=3))
def test_whatever_was_written_is_read_as_its_class_reads_it(message, changes, likely):
    """Other programs, versions and attackers get what LangChain gives, or an error as there."""
    stored = message_to_dict(message)
    for (what, name, value), other in zip(changes, likely, strict=False):
        if what == "drop":
            stored["data"].pop(name, None)
        elif what == "first" and name in stored["data"]:
            stored["data"] = {name: stored["data"].pop(name), **stored["data"]}
        else:
            stored["data"][name] = value if len(changes) > 1 else other
    element = json.dumps(stored).encode()
    try:
        expected = by_class(element)
    except Exception:  # noqa: BLE001 - whatever it is
        with pytest.raises(CorruptedDataError):
            decode(element)
    else:
        check_same(decode(element), expected)


TOKENS = dict.fromkeys(["input_tokens", "output_tokens", "total_tokens"], 1)
CHANGED_BY_ITS_CLASS = [
    {"additional_kwargs": {"tool_calls": [PROVIDER_CALL]}},
    {"tool_calls": [{**CALL, "extras": {}}]},
    {"tool_calls": [{**CALL, "type": "other"}]},
    {"tool_calls": [{**CALL, "id": 1}]},
    {"tool_calls": [CALL, {"args": {}, "name": "f", "id": "1", "type": "tool_call"}]},
    {"tool_calls": [{"name": "f", "args": {}, "id": "1"}]},
    {"tool_calls": ["x"]},
    {"invalid_tool_calls": [{"name": "f", "args": "{", "id": "1", "error": None}]},
    {"usage_metadata": {**TOKENS, "more": 1}},
    {"usage_metadata": {"total_tokens": 1, **TOKENS, "input_tokens": 1}},
    {"usage_metadata": {**TOKENS, "total_tokens": True}},
    {"usage_metadata": {**TOKENS, "total_tokens": 1.0}},
    {"usage_metadata": {**TOKENS, "input_token_details": {"audio": 1.0}}},
    {"usage_metadata": {**TOKENS, "input_token_details": {"cache_read": 1, "audio": 1}}},
    {"usage_metadata": {**TOKENS, "output_token_details": {"cache_read": 1}}},
    {"usage_metadata": {**TOKENS, "output_token_details": {}, "input_token_details": {}}},
    {"usage_metadata": {"total_cost": 0}},
    {"content": [1]},
    {"content": ["a", ["b"]]},
    {"content": None},
    {"id": 5},
    {"id": "\ud800"},
    {"name": 1},
    {"type": "human"},
    {"more": 1},
]


@pytest.mark.parametrize("changes", CHANGED_BY_ITS_CLASS, ids=str)
def test_what_its_class_would_change_is_not_plain(changes):
    """Each is left to the class, which changes it, refuses it, or does so in another version."""
    stored = message_to_dict(AIMessage("x"))
    assert plain.plain_message("ai", dict(stored["data"])) is not None
    stored["data"] |= changes
    element = json.dumps(stored).encode()
    assert not is_plain(element)
    try:
        expected = by_class(element)
    except Exception:  # noqa: BLE001 - whatever it is
        with pytest.raises(CorruptedDataError):
            decode(element)
    else:
        check_same(decode(element), expected)


def change(message):
    message.additional_kwargs["a"] = 1
    message.response_metadata["b"] = 2
    message.more = 3
    message.name = "changed"
    return message


def test_plain_messages_share_nothing():
    """What is done to one is not seen in another, nor in what is read later."""
    for message in SOME:
        element = encode(message)
        first, second = decode(element), decode(element)
        check_same(change(first), change(by_class(element)))
        assert second == decode(element) == message


def test_a_class_that_checks_more_has_no_plain_messages():
    """A field, a type or a validator that is not known here leaves a class to itself."""

    class Later(HumanMessage):
        later: bytes = b""

    class Aliased(HumanMessage):
        later: str = Field("", alias="other")

    class Short(HumanMessage):
        later: str = Field("", max_length=3)

    class Checked(HumanMessage):
        @field_validator("content")
        @classmethod
        def check(cls, value):
            return value

    class CheckedWhole(HumanMessage):
        @model_validator(mode="after")
        def check(self):
            return self

    class Closed(HumanMessage):
        model_config = ConfigDict(str_strip_whitespace=True)

    class Private(HumanMessage):
        _secret: str = PrivateAttr("")

    class Finished(HumanMessage):
        def model_post_init(self, context):
            self.name = "finished"

    for cls in (Later, Aliased, Short, Checked, CheckedWhole, Closed, Private, Finished):
        assert plain._known(cls) is None, cls
    assert plain._known(HumanMessage) is not None
