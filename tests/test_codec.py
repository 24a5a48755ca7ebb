"""Messages to bytes and back: equal, or refused. No server here."""

from __future__ import annotations

import copy
import enum
import json
import math
import pickle
import re
import time
import traceback
import uuid
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    ChatMessage,
    ChatMessageChunk,
    FunctionMessage,
    FunctionMessageChunk,
    HumanMessage,
    HumanMessageChunk,
    RemoveMessage,
    SystemMessage,
    SystemMessageChunk,
    ToolMessage,
    ToolMessageChunk,
    message_to_dict,
    messages_from_dict,
)
from pydantic import BaseModel, ValidationError

from langchain_redis_memory.conversation import new_token
from langchain_redis_memory.errors import CorruptedDataError, UnstorableError
from langchain_redis_memory.storage import codec, exact
from langchain_redis_memory.storage.codec import (
    decode_message,
    dump_element,
    encode_messages,
    load_element,
    message_id,
    stored_at,
)
from langchain_redis_memory.storage.exact import MAX_DEPTH

TOKEN = "0199f0c27d4e7c3a8a5f0123456789ab"

# Any text, lone surrogates and NUL included.
TEXT = st.text(st.characters(exclude_categories=()), max_size=8) | st.text(max_size=40)
NUMBERS = st.one_of(
    st.integers(),
    st.sampled_from([2**63 - 1, 2**63, 2**64 - 1, 2**64, 2**80, -(2**63), -(2**63) - 1, -(2**70)]),
    st.floats(),
    st.sampled_from([math.nan, math.inf, -math.inf, -0.0, 5e-324, 0.1 + 0.2]),
)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(TEXT, JSON, max_size=3)
MAYBE = st.none() | TEXT
BLOCKS = st.one_of(
    TEXT,
    OBJECTS,
    st.fixed_dictionaries({"type": st.just("text"), "text": TEXT}, optional={"extras": OBJECTS}),
    st.fixed_dictionaries({"type": st.just("image_url"), "image_url": OBJECTS}),
    st.fixed_dictionaries({"type": st.just("reasoning"), "reasoning": TEXT}),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["tool_call", "tool_call_chunk", "server_tool_call_chunk"])},
        optional={"id": TEXT, "name": TEXT, "args": JSON, "index": JSON},
    ),
)
CONTENT = TEXT | st.lists(BLOCKS, max_size=3)
CALLS = st.lists(st.fixed_dictionaries({"name": TEXT, "args": OBJECTS, "id": MAYBE}), max_size=2)
BAD_CALLS = st.lists(
    st.fixed_dictionaries({"name": MAYBE, "args": MAYBE, "id": MAYBE, "error": MAYBE}), max_size=2
)
CALL_CHUNKS = st.lists(
    st.fixed_dictionaries(
        {
            "name": MAYBE,
            "args": MAYBE | st.sampled_from(['{"a": 1', '{"a": NaN}', "[1]", '{"a": 1e999}']),
            "id": MAYBE,
            "index": st.none() | st.integers(0, 3) | TEXT,
        }
    ),
    max_size=2,
)
COUNTS = st.integers(0, 2**70)
USAGE = st.none() | st.fixed_dictionaries(
    {"input_tokens": COUNTS, "output_tokens": COUNTS, "total_tokens": COUNTS},
    optional={
        "input_token_details": st.dictionaries(
            st.sampled_from(["audio", "cache_read", "priority_cache_read"]), COUNTS
        ),
        "output_token_details": st.dictionaries(st.sampled_from(["reasoning", "x"]), COUNTS),
    },
)
PROVIDER_CALLS = st.lists(
    st.fixed_dictionaries(
        {
            "id": TEXT,
            "type": st.just("function"),
            "function": st.fixed_dictionaries(
                {"name": TEXT, "arguments": st.sampled_from(['{"a": 1}', "{", "[]", "null"]) | TEXT}
            ),
        }
    ),
    max_size=2,
)
KWARGS = OBJECTS | st.builds(dict, tool_calls=PROVIDER_CALLS)
METADATA = OBJECTS | st.just({"output_version": "v1"})

COMMON = {"content": CONTENT, "additional_kwargs": KWARGS, "response_metadata": METADATA}
NAMED = {"id": MAYBE, "name": MAYBE}
OF_AI = {"tool_calls": CALLS, "invalid_tool_calls": BAD_CALLS, "usage_metadata": USAGE}
OF_CHUNK = {"tool_call_chunks": CALL_CHUNKS, "chunk_position": st.sampled_from([None, "last"])}
OF_TOOL = {"artifact": JSON, "status": st.sampled_from(["success", "error"])}
NO_EXTRAS = {"self", "content", "content_blocks", "type", *COMMON, *NAMED, *OF_AI, *OF_CHUNK}


def made(cls, required, optional):
    extras = st.dictionaries(TEXT.filter(lambda name: name not in NO_EXTRAS), JSON, max_size=2)

    def build(fields, extra):
        try:
            return cls(**{**extra, **copy.deepcopy(fields)})
        except (ValidationError, TypeError):  # what the class refuses nobody can store
            reject()

    return st.builds(build, st.fixed_dictionaries(required, optional=optional), extras)


CONTENTED = {"content": CONTENT}
METADATED = {name: COMMON[name] for name in ("additional_kwargs", "response_metadata")}
BY_CLASS = {
    HumanMessage: made(HumanMessage, CONTENTED, METADATED | NAMED),
    HumanMessageChunk: made(HumanMessageChunk, CONTENTED, METADATED | NAMED),
    SystemMessage: made(SystemMessage, CONTENTED, METADATED | NAMED),
    SystemMessageChunk: made(SystemMessageChunk, CONTENTED, METADATED | NAMED),
    AIMessage: made(AIMessage, CONTENTED, METADATED | NAMED | OF_AI),
    AIMessageChunk: made(AIMessageChunk, CONTENTED, METADATED | NAMED | OF_AI | OF_CHUNK),
    ToolMessage: made(ToolMessage, CONTENTED | {"tool_call_id": TEXT}, METADATED | NAMED | OF_TOOL),
    ToolMessageChunk: made(
        ToolMessageChunk, CONTENTED | {"tool_call_id": TEXT}, METADATED | NAMED | OF_TOOL
    ),
    ChatMessage: made(ChatMessage, CONTENTED | {"role": TEXT}, METADATED | NAMED),
    ChatMessageChunk: made(ChatMessageChunk, CONTENTED | {"role": TEXT}, METADATED | NAMED),
    FunctionMessage: made(FunctionMessage, CONTENTED | {"name": TEXT}, METADATED | {"id": MAYBE}),
    FunctionMessageChunk: made(
        FunctionMessageChunk, CONTENTED | {"name": TEXT}, METADATED | {"id": MAYBE}
    ),
    RemoveMessage: made(RemoveMessage, {"id": TEXT}, METADATED | {"name": MAYBE}),
}
CLASSES = sorted(BY_CLASS, key=lambda cls: cls.__name__)
EACH_CLASS = pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
MESSAGES = st.one_of(*BY_CLASS.values())
THOROUGH = settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])


def same(one, other):
    """Compare as `==` does, but for NaN, the sign of zero, and True, which is no 1."""
    if isinstance(one, float) and isinstance(other, float):
        return repr(one) == repr(other)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return type(one) is type(other) and one == other


def fields(message):
    return {**message.__dict__, "extra": message.__pydantic_extra__}


def equal(one, other):
    return type(one) is type(other) and same(fields(one), fields(other))


def strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from strings(key)
            yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)


def has_split_pair(message):
    pair = re.compile(r"[\ud800-\udbff][\udc00-\udfff]")
    return any(map(pair.search, strings(fields(message))))


def encode(message):
    return encode_messages([message], TOKEN)[0]


def decode(element):
    return decode_message(element if isinstance(element, bytes) else element.encode(), "key", 3)


def read_by_community(element):
    from langchain_core.messages import messages_from_dict

    return messages_from_dict([json.loads(element.decode("utf-8"))])[0]


# What comes back


@EACH_CLASS
def test_every_message_comes_back_equal_or_is_refused(cls):
    """Any message of any class is read as it was, unless JSON would join what it holds apart."""

    @THOROUGH
    @given(BY_CLASS[cls])
    def check(message):
        before = copy.deepcopy(message)
        if has_split_pair(message):
            with pytest.raises(UnstorableError, match="surrogate pair"):
                encode(message)
            return
        element = encode(message)
        assert equal(decode(element), message)
        assert equal(message, before), "storing a message changes nothing in it"
        assert message_id(element) == message.id
        assert b"\n" not in element

    check()


@EACH_CLASS
def test_a_message_that_was_changed_comes_back_equal_or_is_refused(cls):
    """Whatever was assigned to a field, what is stored can be read, and is as it was."""

    @THOROUGH
    @given(BY_CLASS[cls], st.sampled_from(sorted(cls.model_fields)), st.data())
    def check(message, field, data):
        likely = {**COMMON, **NAMED, **OF_AI, **OF_CHUNK, **OF_TOOL}.get(field, JSON)
        setattr(message, field, data.draw(likely | JSON))
        try:
            element = encode(message)
        except UnstorableError as error:
            assert error.field.startswith("messages[0]")  # noqa: PT017 - either outcome is fine
        else:
            assert equal(decode(element), message)

    check()


@given(MESSAGES)
def test_what_langchain_community_wrote_is_read_as_it_reads_it(message):
    """Its elements have no token and are read with the same function."""
    element = json.dumps(message_to_dict(message)).encode()
    assert equal(decode(element), read_by_community(element))


@given(MESSAGES)
def test_what_we_write_langchain_community_reads(message):
    """Its class reads our elements, and fields that no validator changes come back as they were."""
    if has_split_pair(message):
        reject()
    element = encode(message)
    changed = json.loads(element).get("assigned", [])
    theirs, ours = fields(read_by_community(element)), fields(message)
    assert same({**theirs, **{name: ours[name] for name in changed}}, ours)


CALL = {"name": "f", "args": {"a": 1}, "id": "1", "type": "tool_call"}
PROVIDER_CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}


@pytest.mark.parametrize(
    ("changes", "assigned"),
    [
        ({"additional_kwargs": {"tool_calls": [PROVIDER_CALL]}}, ["tool_calls"]),
        ({"tool_calls": [{**CALL, "extras": {"signature": "x"}}]}, ["tool_calls"]),
        ({"tool_calls": [{"name": "f", "args": {}, "id": "1"}]}, ["tool_calls"]),
        ({"tool_calls": [CALL], "content": [{"type": "tool_call", **CALL}]}, None),
        ({"usage_metadata": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}}, None),
        ({"id": 7}, ["id"]),
    ],
)
def test_what_validators_would_change_is_assigned(changes, assigned):
    """An agent that takes a call out, or a provider that puts extras in, gets its message back."""
    message = AIMessage("x")
    for name, value in changes.items():
        setattr(message, name, value)
    element = encode(message)
    assert json.loads(element).get("assigned") == assigned
    assert equal(decode(element), message)


def test_the_usage_of_a_service_tier_comes_back():
    """langchain-openai assigns usage with keys that the type does not have."""
    message = AIMessage("x")
    message.usage_metadata = {
        "input_tokens": 1,
        "output_tokens": 1,
        "total_tokens": 2,
        "more": 3,
        "input_token_details": {"priority_cache_read": 4},
    }
    assert equal(decode(encode(message)), message)


@pytest.mark.parametrize(
    "change",
    [
        {"usage_metadata": {"total_cost": 0}},  # what LangChain assigns to a cached answer
        {"usage_metadata": {"total_tokens": 1}, "name": 5},
        {"usage_metadata": {"total_cost": math.nan}, "tool_calls": []},
    ],
)
def test_what_its_class_would_refuse_stands_apart(change):
    """It comes back all the same, and makes no other reader fail."""
    message = AIMessage("x")
    for name, value in change.items():
        setattr(message, name, value)
    element = encode(message)
    assert equal(decode(element), message)
    assert messages_from_dict([json.loads(element)])[0].content == "x"


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"content": None}, "messages[0].content", "AIMessage would refuse it"),
        ({"content": 5}, "messages[0].content", "AIMessage would refuse it"),
        ({"tool_calls": [{**CALL, "approved": True}]}, "messages[0]", "argument 'approved'"),
        ({"type": "human"}, "messages[0].type", "would come back as a HumanMessage"),
        ({"type": "nonsense"}, "messages[0]", "would refuse it"),
    ],
)
def test_what_its_class_would_refuse_is_refused_before(change, field, reason):
    """One message that no read could build would make its whole conversation unreadable."""
    message = AIMessage("SECRET")
    for name, value in change.items():
        setattr(message, name, value)
    with pytest.raises(UnstorableError, match=re.escape(reason)) as caught:
        encode(message)
    assert caught.value.field == field
    assert "SECRET" not in str(caught.value)


def test_subclasses_of_strings_and_numbers_are_stored_as_what_they_are():
    """Enums and subclasses equal the plain value that comes back."""

    class Text(str):
        __slots__ = ()

    class Real(float):
        def __repr__(self):
            return "no number"

    class Whole(int):
        def __repr__(self):
            return "no number"

    class Colour(str, enum.Enum):  # noqa: UP042 - the older form is about as well
        RED = "red"

    class Level(enum.IntEnum):
        HIGH = 3

    values = [Text("é"), Text("\ud800"), Real(0.1), Whole(3), Whole(2**70), Colour.RED, Level.HIGH]
    metadata = {"values": values, Text("key"): {Colour.RED: Real(2)}}
    message = HumanMessage("x", response_metadata=metadata)
    back = decode(encode(message)).response_metadata
    assert back == {"values": ["é", "\ud800", 0.1, 3, 2**70, "red", 3], "key": {"red": 2.0}}
    assert {type(value) for value in back["values"]} == {str, float, int}


class Level(enum.IntEnum):
    HIGH = 3


@pytest.mark.parametrize(
    "changes",
    [
        {"name": Level.HIGH},
        {"id": Level.HIGH, "tool_calls": [{**CALL, "name": Level.HIGH}]},
        {"usage_metadata": {"input_tokens": True, "output_tokens": 1.0, "total_tokens": 1}},
    ],
    ids=str,
)
def test_a_message_is_tried_as_readers_find_it(changes):
    """A class takes a subclass of int for text, but not the number that is stored."""
    message = AIMessage("x", additional_kwargs={"a": 1})
    for name, value in changes.items():
        setattr(message, name, value)
    back = decode(encode(message))
    assert back == message
    if "usage_metadata" in changes:
        assert equal(back, message)


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (HumanMessage(["x"]).model_copy(update={"content": ["x", Level.HIGH]}), "content"),
        (SystemMessage("x").model_copy(update={"\ud83d\ude00": 1}), r"\ud83d\ude00"),
        (AIMessage("x").model_copy(update={"content_blocks": []}), "content_blocks"),
    ],
    ids=repr,
)
def test_what_no_reader_would_find_is_refused(message, field):
    """A part that a class refuses, the name of a field that JSON changes, one that it drops."""
    with pytest.raises(UnstorableError) as caught:
        encode(message)
    assert caught.value.field == f"messages[0].{field}"
    assert str(caught.value).isascii()


def test_an_element_has_langchains_form_with_our_token_in_front():
    """The form is a promise: other programs read it, and scripts in Redis rely on its beginning."""
    assert encode(HumanMessage("Hé", id="1")) == (
        b'{"append":"0199f0c27d4e7c3a8a5f0123456789ab","type":"human","data":{"content":"H\xc3\xa9"'
        b',"additional_kwargs":{},"response_metadata":{},"type":"human","name":null,"id":"1"}}'
    )
    odd = encode(ToolMessage("\ud800", tool_call_id="1", artifact=math.nan))
    assert odd.startswith(b'{"append": "0199f0c27d4e7c3a8a5f0123456789ab", "type": "tool", "data":')
    assert b'"content": "\\ud800"' in odd
    assert b'"artifact": NaN' in odd


def test_a_token_tells_when_the_append_was_begun():
    """A token holds the time, in milliseconds, so that an element needs no other."""
    before = int(time.time() * 1000) / 1000
    when = stored_at(new_token())
    assert before <= when.timestamp() <= time.time()
    assert when.tzinfo is UTC


def test_a_message_of_a_megabyte_and_one_of_many_parts_come_back():
    """Size is no reason to lose anything."""
    large = AIMessage("é" * 2**20)
    many = HumanMessage([{"type": "text", "text": str(i)} for i in range(20_000)])
    assert [decode(element) for element in encode_messages([large, many], TOKEN)] == [large, many]


# What cannot be stored


class Record(BaseModel):
    secret: str = "SECRET"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"SECRET", "JSON has no bytes; give it as text, such as base64"),
        (bytearray(b"SECRET"), "JSON has no bytearray"),
        (("SECRET",), "JSON has no tuple; give it as a list"),
        ({"SECRET"}, "JSON has no set; give it as strings, numbers, lists and dicts"),
        (frozenset(), "JSON has no frozenset"),
        (datetime(2026, 1, 1, tzinfo=UTC), "JSON has no datetime"),
        (Decimal("0.1"), "JSON has no Decimal"),
        (uuid.UUID(int=1), "JSON has no UUID"),
        (Record(), "JSON has no Record"),
        (object(), "JSON has no object"),
        (complex(1, 1), "JSON has no complex"),
        (HumanMessage("SECRET"), "JSON has no HumanMessage"),
        ({1: "SECRET"}, "it has a key of type int; keys must be strings"),
        ({None: 1}, "it has a key of type NoneType"),
        (10**5000, "it is an integer of more than 4,000 digits"),
        ("SECRET\ud83d\ude00", "two halves of a surrogate pair"),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize(
    ("path", "put"),
    [
        (".artifact", lambda it: ToolMessage("x", tool_call_id="1", artifact=it)),
        (
            ".artifact['rows'][2]['cell']",
            lambda it: ToolMessage(
                "x", tool_call_id="1", artifact={"rows": [1, math.nan, {"cell": it}]}
            ),
        ),
        (
            ".content[1]['text']",
            lambda it: HumanMessage(["a", {"type": "text", "text": it}]),
        ),
        (
            ".tool_calls[0]['args']['é']",
            lambda it: AIMessage("", tool_calls=[{"name": "f", "args": {"é": it}, "id": "1"}]),
        ),
        (".response_metadata['m']", lambda it: AIMessageChunk("", response_metadata={"m": it})),
        (".additional_kwargs['k']", lambda it: SystemMessage("", additional_kwargs={"k": it})),
        (".mine", lambda it: ChatMessage("", role="user", mine=it)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_json_cannot_hold_is_refused_by_its_path(path, put, value, reason):
    """At any depth of any field; the error names the place and the remedy, and quotes no value."""
    good = HumanMessage("good")
    with pytest.raises(UnstorableError, match=re.escape(reason)) as caught:
        encode_messages([good, put(value)], TOKEN)
    assert caught.value.field == f"messages[1]{path}"
    assert str(caught.value).startswith(f"messages[1]{path} cannot be stored: ")
    assert "SECRET" not in "".join(traceback.format_exception(caught.value))
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def nested(levels, value="x"):
    for level in range(levels):
        value = {"": value} if level % 2 else [value]
    return value


@pytest.mark.parametrize("leaf", ["x", math.nan])
def test_what_is_nested_too_deeply_is_refused_and_what_is_not_is_read(leaf):
    """The limit lies below what either parser reads, so nothing stored is unreadable."""
    deepest = HumanMessage("x", response_metadata=nested(MAX_DEPTH, leaf))
    assert equal(decode(encode(deepest)), deepest)
    deeper = HumanMessage("x", response_metadata={"a": nested(MAX_DEPTH, leaf)})
    with pytest.raises(UnstorableError, match="nested deeper than 200 levels") as caught:
        encode(deeper)
    assert caught.value.field.startswith("messages[0].response_metadata['a']")
    assert len(str(caught.value)) < 400
    endless: dict[str, object] = {}
    endless["again"] = endless
    with pytest.raises(UnstorableError, match="nested deeper"):
        encode(HumanMessage("x", additional_kwargs=endless))


class Mine(HumanMessage):
    pass


@pytest.mark.parametrize("message", [Mine("x"), "x", ("human", "x"), {"role": "user"}, None])
def test_what_would_come_back_as_another_class_is_refused(message):
    """A class of one's own is not known to the reader, and a plain string is no message."""
    with pytest.raises(UnstorableError, match="would come back as another class") as caught:
        encode_messages([HumanMessage("good"), message], TOKEN)
    assert caught.value.field == "messages[1]"
    assert type(message).__name__ in str(caught.value)


@pytest.mark.parametrize("before", [{}, {"seen": object}])
def test_what_is_assigned_while_a_message_is_encoded_is_not_stored(monkeypatch, before):
    """What was looked at is what is written, whatever other threads do to the message."""
    message = HumanMessage("x")
    message.response_metadata = before

    def assign(fields, *args):
        message.response_metadata = {"at": datetime(2020, 1, 1, tzinfo=UTC)}
        message.additional_kwargs = {"late": math.nan}
        return are_usual(fields, *args)

    are_usual = codec.are_usual
    monkeypatch.setattr(codec, "are_usual", assign)
    if before:
        with pytest.raises(UnstorableError, match="JSON has no type"):
            encode(message)
    else:
        assert decode(encode(message)) == HumanMessage("x")


def test_what_redis_does_not_take_as_one_value_is_refused(monkeypatch):
    """Half a gigabyte is the most; the error says how much it is, before anything is sent."""
    usual, odd = HumanMessage("x" * 100), HumanMessage("x" * 100, response_metadata={"n": 2**70})
    sizes = [len(encode(message)) for message in (usual, odd)]
    for message, size in zip((usual, odd), sizes, strict=True):
        monkeypatch.setattr(exact, "MAX_BYTES", size)
        stored = load_element(encode(message), "key", 0)
        monkeypatch.setattr(exact, "MAX_BYTES", size - 1)
        with pytest.raises(UnstorableError, match=f"it takes {size} bytes as JSON") as caught:
            encode_messages([HumanMessage("x"), message], TOKEN)
        assert caught.value.field == "messages[1]"
        with pytest.raises(UnstorableError, match=f"Redis holds {size - 1} in one value"):
            dump_element(stored)
    monkeypatch.setattr(exact, "MAX_BYTES", 10)
    assert exact.encode_value("12345678", "profile") == b'"12345678"'
    with pytest.raises(UnstorableError, match="profile cannot be stored: it takes 11 bytes"):
        exact.encode_value("123456789", "profile")


# What others wrote


@pytest.mark.parametrize(
    ("element", "message"),
    [
        (
            '{"type": "human", "data": {"content": "hi", "additional_kwargs": {}}}',
            HumanMessage("hi"),
        ),
        (
            '{"type": "human", "data": {"content": "hi", "type": "human", "example": false}}',
            HumanMessage("hi", example=False),
        ),
        ('{"type":"ai","data":{"content":"hi"}}', AIMessage("hi")),
        (
            json.dumps(
                {
                    "type": "ai",
                    "data": {"content": "", "additional_kwargs": {"tool_calls": [PROVIDER_CALL]}},
                }
            ),
            AIMessage("", additional_kwargs={"tool_calls": [PROVIDER_CALL]}, tool_calls=[CALL]),
        ),
        (
            '{"type":"tool","data":{"content":"r","tool_call_id":"1"}}',
            ToolMessage("r", tool_call_id="1"),
        ),
        (
            '{"data":{"content":"hi","response_metadata":{"n":36893488147419103232}},"type":"ai"}',
            AIMessage("hi", response_metadata={"n": 2**65}),
        ),
        (
            '{"type":"human","data":{"content":"hi","response_metadata":{"n":-Infinity}},"by":"x"}',
            HumanMessage("hi", response_metadata={"n": -math.inf}),
        ),
        (
            '\n{ "type" : "system", "data" : {"content": "\\ud83d\\ude00 \\ud800"}}',
            SystemMessage("😀 \ud800"),
        ),
    ],
)
def test_elements_of_older_versions_and_other_writers_are_read(element, message):
    """Fields that are missing have their defaults, and numbers of other writers are exact."""
    assert equal(decode(element), message)


CORRUPTED = {
    "not JSON": "SECRET",
    "empty": "",
    "cut off": f'{{"append":"{TOKEN}","type":"human","data":{{"content":"SECR',
    "not UTF-8": b'{"type": "human", "data": {"content": "SECRET\xff"}}',
    "no object": '["SECRET"]',
    "null": "null",
    "no type": '{"data": {"content": "SECRET"}}',
    "no data": '{"type": "human"}',
    "unknown type": '{"type": "SECRET", "data": {"content": "SECRET"}}',
    "list for type": '{"type": ["human"], "data": {"content": "SECRET"}}',
    "no content": '{"type": "human", "data": {}}',
    "content of another type": '{"type": "human", "data": {"content": {"SECRET": 1}}}',
    "data of another type": '{"type": "human", "data": ["SECRET"]}',
    "data with an argument": '{"type": "human", "data": {"content": "x", "self": "SECRET"}}',
    "no tool_call_id": '{"type": "tool", "data": {"content": "SECRET"}}',
    "odd tool_calls": '{"type": "ai", "data": {"content": "SECRET", "tool_calls": ["SECRET"]}}',
    "odd call": '{"type": "ai", "data": {"content": "", "tool_calls": [{"SECRET": 1}]}}',
    "deeper than any parser": '{"type": "human", "data": {"content": ' + "[" * 100_000,
    "a number nobody prints": '{"type": "human", "data": {"content": ' + "9" * 5000 + "}}",
    "a class": '{"lc": 1, "type": "constructor", "id": ["os", "system"], "kwargs": {"SECRET": 1}}',
    "a message as a class": (
        '{"lc": 1, "type": "constructor", "id": ["langchain_core", "messages", "HumanMessage"], '
        '"kwargs": {"content": "SECRET"}}'
    ),
    "no field assigned": '{"type": "ai", "data": {"content": "", "a": 1}, "assigned": ["a"]}',
    "a class assigned": (
        '{"type": "ai", "data": {"content": "", "__class__": {}}, "assigned": ["__class__"]}'
    ),
    "assigned to nothing": '{"type": "ai", "data": {"content": ""}, "assigned": ["name"]}',
    "assigned by a number": '{"type": "ai", "data": {"content": ""}, "assigned": 1}',
}


@pytest.mark.parametrize("name", CORRUPTED)
def test_a_damaged_element_is_reported_and_not_quoted(name):
    """The error has key and position and says what to do; the stored text stays out of it."""
    with pytest.raises(CorruptedDataError) as caught:
        decode(CORRUPTED[name])
    error = caught.value
    assert (error.key, error.position) == ("key", 3)
    assert "LINDEX 'key' 3" in str(error)
    # The lines of this test are quoted by no traceback that a user sees.
    shown = "".join(traceback.format_exception_only(error))
    assert error.__context__ is None
    assert error.__cause__ is None
    assert "SECR" not in shown
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert message_id(b"SECRET") is None


@given(st.binary() | st.builds(lambda value: json.dumps(value).encode(), JSON))
def test_anything_else_is_a_message_or_corrupted(element):
    """No bytes in a list make a read fail in any other way."""
    try:
        decode(element)
    except CorruptedDataError as error:
        assert error.position == 3  # noqa: PT017 - either outcome is fine
    assert message_id(element) is None or isinstance(message_id(element), str)


def test_an_element_that_names_a_class_is_data():
    """Nothing stored is ever imported, called or loaded by its name."""
    constructor = {"lc": 1, "type": "constructor", "id": ["builtins", "exit"], "kwargs": {}}
    secret = {"lc": 1, "type": "secret", "id": ["OPENAI_API_KEY"]}
    message = ToolMessage(
        [constructor], tool_call_id="1", artifact=[constructor, secret], additional_kwargs=secret
    )
    back = decode(encode(message))
    assert back == message
    assert back.artifact == [constructor, secret]
    assert decode(json.dumps(message_to_dict(message))) == message
