"""Windows: whole turns, chosen in Python and in Redis by one rule, and never past the limit."""

from __future__ import annotations

import itertools
import json
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    ChatMessage,
    ChatMessageChunk,
    FunctionMessage,
    HumanMessage,
    HumanMessageChunk,
    SystemMessage,
    SystemMessageChunk,
    ToolMessage,
    ToolMessageChunk,
    message_to_dict,
)
from langchain_core.messages.utils import count_tokens_approximately

from langchain_redis_memory import ConfigurationError, CorruptedDataError, RedisMemory, Window
from langchain_redis_memory.limits import Limits
from langchain_redis_memory.storage.codec import encode_messages
from langchain_redis_memory.window import select

THOROUGH = settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
NUMBERS = itertools.count()


def human(text="h"):
    return [HumanMessage(text)]


def agent(*results):
    """An agent's work: calls, as many results, an answer."""
    calls = [{"name": "f", "args": {}, "id": f"{next(NUMBERS)}"} for _ in results]
    asked = AIMessage("", tool_calls=calls)
    answers = [cls("r", tool_call_id=call["id"]) for cls, call in zip(results, calls, strict=True)]
    return [asked, *answers, AIMessage("a")] if results else [AIMessage("a")]


def function():
    asked = AIMessage("", additional_kwargs={"function_call": {"name": "f", "arguments": "{}"}})
    return [asked, FunctionMessage("r", name="f")]


# What stands in a chat message's other fields must not be taken for its role.
MISLEADING = {"content": '{"role": "user"}', "additional_kwargs": {"role": "user"}}
PARTS = st.one_of(
    st.builds(human),
    st.builds(human, st.sampled_from(['"type":"ai"', "a" * 30])),
    st.builds(agent),
    st.lists(st.sampled_from([ToolMessage, ToolMessageChunk]), max_size=3).map(
        lambda results: agent(*results)
    ),
    st.builds(function),
    st.sampled_from(
        [
            [HumanMessageChunk("h")],
            [ChatMessage("u", role="user")],
            [ChatMessageChunk("u", role="human")],
            [ChatMessage(role="assistant", **MISLEADING)],
            [ChatMessageChunk(role="tool", **MISLEADING)],
            [AIMessageChunk("c", tool_call_chunks=[])],
            [SystemMessage("s")],
            [SystemMessageChunk("s")],
        ]
    ),
)


def conversation(parts, *, empty=True):
    return st.lists(parts, min_size=0 if empty else 1, max_size=8).map(
        lambda parts: [numbered(message) for part in parts for message in part]
    )


def numbered(message):
    return message.model_copy(update={"id": str(next(NUMBERS))})


UNHEARD = PARTS.filter(lambda part: not is_user(part[0]))  # a conversation that no user spoke in
CONVERSATIONS = conversation(PARTS) | conversation(UNHEARD)
BATCHES = conversation(PARTS, empty=False) | conversation(UNHEARD, empty=False)
SIZES = st.integers(1, 12)
WINDOWS = st.one_of(
    st.builds(Window, SIZES, keep_system=st.booleans()),
    st.builds(
        Window,
        st.none() | SIZES,
        tokens=st.integers(1, 40),
        counter=st.just(lambda messages: sum(map(cost, messages))),
        keep_system=st.booleans(),
    ),
)


def cost(message):
    return 1 + len(message.content)


def is_user(message):
    return message.type in {"human", "HumanMessageChunk"} or (
        getattr(message, "role", None) in {"user", "human"}
    )


def is_result(message):
    return isinstance(message, ToolMessage | FunctionMessage)


def fits(messages, window):
    return (window.messages is None or len(messages) <= window.messages) and (
        window.tokens is None or sum(map(cost, messages)) <= window.tokens
    )


def model(messages, window):
    """The rule once more, as a search: the longest end of the conversation that may be given."""
    pinned = pinned_of(messages) if window.keep_system else []
    rest = messages[len(pinned) :]
    users = [is_user(message) for message in rest]
    starts = [i for i, user in enumerate(users) if user and not (i and users[i - 1])]
    whole = [pinned + rest[i:] for i in sorted({0, *starts})]
    ends = starts or [i for i, message in enumerate(rest) if not is_result(message)]
    for candidate in [*whole, *(pinned + rest[i:] for i in ends)]:
        if fits(candidate, window):
            return candidate
    return pinned + rest[ends[-1] :] if ends else pinned


def first(messages):
    return messages[0] if messages else None


def pinned_of(messages):
    return messages[:1] if isinstance(first(messages), SystemMessage) else []


def newest_turn(messages):
    return model(messages, Window(1, keep_system=False))


def choose(messages, window):
    return select(reversed(messages), window, first(messages))


# In Python


@THOROUGH
@given(CONVERSATIONS, WINDOWS)
def test_select_gives_what_a_plain_search_gives(messages, window):
    """The one pass over the newest messages finds the same window as trying every beginning."""
    assert choose(messages, window) == model(messages, window)


@THOROUGH
@given(CONVERSATIONS, WINDOWS)
def test_a_window_is_whole_turns_within_the_limit(messages, window):
    """It is an end of the conversation, begins with a turn, and fits unless it is the newest."""
    given = choose(messages, window)
    pinned = pinned_of(messages) if window.keep_system else []
    rest = given[len(pinned) :]
    assert given[: len(pinned)] == pinned
    assert rest == messages[len(messages) - len(rest) :]
    if not fits(given, window):
        assert rest == newest_turn(messages[len(pinned) :])
    if rest and len(rest) < len(messages) - len(pinned):
        before = messages[len(messages) - len(rest) - 1]
        heard = any(map(is_user, messages))
        assert (is_user(rest[0]) and not is_user(before)) if heard else not is_result(rest[0])
    called = {call["id"] for message in rest for call in getattr(message, "tool_calls", [])}
    assert called >= {message.tool_call_id for message in rest if isinstance(message, ToolMessage)}
    assert not isinstance(first(rest), FunctionMessage)


def test_select_takes_no_more_messages_than_it_must():
    """What is older than the first turn that does not fit is never decoded."""
    newest_first = iter([AIMessage("a"), HumanMessage("h")] * 1000)
    assert len(select(newest_first, Window(4))) == 4
    assert len(list(newest_first)) == 2000 - 7


TALK = [
    SystemMessage("be brief"),
    *(HumanMessage("1"), AIMessage("one")),
    *(HumanMessage("2"), *agent(ToolMessage, ToolMessage)),
    *(HumanMessage("3"), HumanMessage("3, please"), AIMessage("three")),
]


@pytest.mark.parametrize(
    ("window", "contents"),
    [
        (Window(100), ["be brief", "1", "one", "2", "", "r", "r", "a", "3", "3, please", "three"]),
        (Window(11), ["be brief", "1", "one", "2", "", "r", "r", "a", "3", "3, please", "three"]),
        (Window(10), ["be brief", "2", "", "r", "r", "a", "3", "3, please", "three"]),
        (Window(9), ["be brief", "2", "", "r", "r", "a", "3", "3, please", "three"]),
        (Window(8), ["be brief", "3", "3, please", "three"]),
        (Window(8, keep_system=False), ["2", "", "r", "r", "a", "3", "3, please", "three"]),
        (Window(7, keep_system=False), ["3", "3, please", "three"]),
        (Window(1), ["be brief", "3", "3, please", "three"]),
        (Window(1, keep_system=False), ["3", "3, please", "three"]),
    ],
)
def test_a_window_of_a_conversation_as_it_is_told(window, contents):
    """What documentation promises, on one conversation: turns, tool calls, the system message."""
    assert [message.content for message in choose(TALK, window)] == contents


def test_a_window_in_tokens_asks_the_counter_that_it_was_given():
    """LangChain's own counter decides what fits, turn by turn."""
    turns = [[HumanMessage("x" * 400), AIMessage("y" * 400)] for _ in range(5)]
    messages = [message for turn in turns for message in turn]
    two = sum(map(count_tokens_approximately, turns[:2]))
    for tokens, count in [(two, 4), (two - 1, 2), (1, 2), (10 * two, 10)]:
        window = Window(tokens=tokens, counter=count_tokens_approximately)
        assert choose(messages, window) == messages[-count:]
    assert choose(messages, Window(2, tokens=two, counter=count_tokens_approximately)) == turns[-1]


# What is refused


@pytest.mark.parametrize("value", [0, -1, True, False, "5", 2.0, [1], b"1"])
def test_what_is_no_number_of_messages_is_refused(value):
    """The error names the limit, the value and what it must be."""
    for name, make in [
        ("window", lambda: Limits(window=value)),
        ("window", lambda: Window(value)),
        ("max_messages", lambda: Limits(max_messages=value)),
        ("the window's tokens", lambda: Window(tokens=value, counter=len)),
    ]:
        expected = f"{name} must be a whole number of at least 1, or None, not {value!r}"
        with pytest.raises(ConfigurationError, match=f"^{re.escape(expected)}$"):
            make()


def test_a_window_without_a_limit_or_a_counter_is_refused():
    """The error says which argument is missing."""
    with pytest.raises(ConfigurationError, match=r"needs a limit: messages=\.\.\., or tokens="):
        Window()
    with pytest.raises(ConfigurationError, match=r"needs counter=\.\.\., such as"):
        Window(tokens=5)
    with pytest.raises(ConfigurationError, match="needs counter="):
        Window(tokens=5, counter="gpt")


# In Redis


def ours(message):
    return encode_messages([message], f"{next(NUMBERS):032x}")[0]


def communitys(message):
    return json.dumps(message_to_dict(message)).encode()


def compact(message):
    return json.dumps(message_to_dict(message), separators=(",", ":"), ensure_ascii=False).encode()


def reversed_and_spaced(message):
    return json.dumps(dict(reversed(message_to_dict(message).items())), indent=1).encode()


def with_standard_library(message):
    """The form in which ours writes what orjson does not hold."""
    return json.dumps(json.loads(ours(message))).encode()


FORMS = [ours, communitys, compact, reversed_and_spaced, with_standard_library]
WRITTEN = st.lists(st.sampled_from(FORMS), min_size=1)


def write(client, key, messages, forms):
    client.delete(key)
    for message, form in zip(messages, itertools.cycle(forms), strict=False):
        client.lpush(key, form(message))


def test_redis_fetches_what_python_selects_from(server, memory):
    """A window read from Redis is the one selected from all messages, whoever wrote them."""

    @THOROUGH
    @given(CONVERSATIONS, WRITTEN, WINDOWS)
    def check(messages, forms, window):
        chat = memory.conversation("a", "u", "s", window=window)
        write(server.client, chat.key, messages, forms)
        expected = choose(messages, window)
        assert chat.read().messages == expected
        ids = [message.id for message in messages]
        everything = chat.read(ids=["before", *ids, "after"])
        assert everything.messages == expected
        assert everything.ids.issubset(ids)
        assert everything.ids.issuperset(ids[-1:])

    check()


def test_redis_trims_to_what_python_selects(server, memory):
    """What an append leaves is the window of `max_messages`, whoever wrote what was there."""

    @THOROUGH
    @given(CONVERSATIONS, WRITTEN, BATCHES, SIZES, st.booleans())
    def check(messages, forms, batch, size, keep_system):
        window = Window(100, keep_system=keep_system)
        chat = memory.conversation("a", "u", "s", window=window, max_messages=size)
        write(server.client, chat.key, messages, forms)
        chat.append(batch)
        kept = memory.conversation("a", "u", "s").read().messages
        assert kept == model([*messages, *batch], Window(size, keep_system=keep_system))

    check()


def test_a_conversation_never_grows_past_its_size(server, memory):
    """After any appends there are `max_messages`, or the newest turn with the system message."""

    @settings(THOROUGH, max_examples=100)
    @given(st.lists(BATCHES, max_size=6), SIZES)
    def check(batches, size):
        chat = memory.conversation("a", "u", "s", max_messages=size)
        chat.clear()
        told: list = []
        for batch in batches:
            chat.append(batch)
            told = model([*told, *batch], Window(size))
            kept = chat.read().messages
            assert kept == told
            rest = kept[len(pinned_of(kept)) :]
            assert len(kept) <= size or rest == newest_turn(rest)

    check()


@pytest.mark.parametrize("part", [HumanMessage("h"), AIMessage("a")], ids=["user", "agent"])
def test_a_conversation_without_turns_is_trimmed_in_large_steps(server, memory, part):
    """What is looked at to find where to cut is fetched in tens of requests, not in thousands."""
    chat = memory.conversation("a", "u", "s", max_messages=3000)
    chat.append([part] * 3000)
    server.client.config_resetstat()
    chat.append([part] * 2)
    stats = server.client.info("commandstats")
    calls = {
        name: stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("lrange", "lindex")
    }
    assert calls["lrange"] < 50
    assert calls["lindex"] <= 1
    assert chat.count() in {3000, 3002}  # a user's messages in a row are one turn


def test_a_window_is_fetched_without_the_rest(server, memory):
    """A read transfers about the window, not the conversation; one turn larger than it is whole."""
    chat = memory.conversation("a", "u", "s", window=4)
    turn = [HumanMessage("h"), AIMessage("a" * 1000)]
    chat.append(turn * 1000)
    chat.read()
    before = server.client.info("stats")["total_net_output_bytes"]
    assert chat.read().messages == turn * 2
    assert server.client.info("stats")["total_net_output_bytes"] - before < 20_000
    long = [HumanMessage("h"), *agent(*[ToolMessage] * 500)]
    chat.append(long)
    assert chat.read().messages == long


async def test_windows_are_the_same_in_async(server, memory):
    """The twin sends the same script and reads its reply in the same way."""
    chat = memory.conversation("a", "u", "s", window=Window(3), max_messages=9)
    await chat.aappend(TALK)
    assert (await chat.aread()).messages == chat.read().messages == [TALK[0], *TALK[-3:]]
    assert await chat.acount() == 9
    await memory.aclose()


def test_a_window_may_be_an_option_of_the_memory(server):
    """Limits of a memory hold for its conversations, and each may have its own."""
    with RedisMemory.from_url(server.url, window=2, max_messages=6) as memory:
        for number in range(10):
            memory.history("a", "u", "s").add_messages(
                [HumanMessage(f"q{number}"), AIMessage(f"a{number}")]
            )
        contents = [m.content for m in memory.history("a", "u", "s").messages]
        assert contents == ["q9", "a9"]
        assert len(memory.history("a", "u", "s", window=None).messages) == 6
        with pytest.raises(ConfigurationError, match="there is no limit 'windows'; there are ttl"):
            memory.history("a", "u", "s", windows=3)


def test_damage_outside_the_window_does_not_hide_the_window(server, memory):
    """Only an element that the window needs is decoded, and reported by its own position."""
    chat = memory.conversation("a", "u", "s", window=Window(2, keep_system=False))
    turns = [HumanMessage("1"), AIMessage("1"), HumanMessage("2"), AIMessage("2")]
    chat.append(turns)
    server.client.lset(chat.key, 3, "damaged")
    assert chat.read().messages == turns[2:]
    server.client.lset(chat.key, 1, "damaged")
    with pytest.raises(CorruptedDataError) as caught:
        chat.read()
    assert (caught.value.key, caught.value.position) == (chat.key, 1)


@pytest.mark.parametrize("damage", ["damaged", '{"data": {}}', ""])
def test_damage_in_the_window_does_not_make_it_smaller(server, memory, damage):
    """What may be the beginning of a turn in it is told; what stands before it is not needed."""
    chat = memory.conversation("a", "u", "s", window=4)
    turns = [message for number in "123" for message in (HumanMessage(number), AIMessage(number))]
    chat.append(turns)
    whole = server.client.lindex(chat.key, 4)
    server.client.lset(chat.key, 4, damage)
    assert chat.read().messages == turns[2:]
    server.client.lset(chat.key, 4, whole)
    server.client.lset(chat.key, 3, damage)
    with pytest.raises(CorruptedDataError) as caught:
        chat.read()
    assert (caught.value.key, caught.value.position) == (chat.key, 3)


def test_a_result_that_comes_after_the_user_spoke_again_is_not_parted(memory):
    """Someone who appends message by message lets turns run into each other."""
    call = {"name": "look", "args": {}, "id": "c1"}
    messages = [
        HumanMessage("1"),
        AIMessage("", tool_calls=[call]),
        HumanMessage("hurry"),
        ToolMessage("found", tool_call_id="c1"),
        AIMessage("2"),
    ]
    assert select(messages[::-1], Window(messages=3)) == messages
    for limits in ({"window": 3}, {"max_messages": 3}):
        history = memory.history("support", "alice", str(limits), **limits)
        for message in messages:
            history.add_message(message)
        assert history.messages == messages


def test_a_result_whose_call_was_cut_away_is_left_out():
    """Also when other messages stand between the user's and the result."""
    call = {"name": "look", "args": {}, "id": "c1"}
    messages = [
        HumanMessage("1"),
        AIMessage("", tool_calls=[call]),
        HumanMessage("hurry"),
        AIMessage("in a moment"),
        ToolMessage("found", tool_call_id="c1"),
        AIMessage("2"),
    ]
    kept = [message.content for message in select(messages[::-1], Window(messages=4))]
    assert kept == ["hurry", "in a moment", "2"]


def test_a_role_that_is_no_text_is_not_the_users():
    """What another program stored need not be what LangChain's classes hold."""
    message = ChatMessage("hello", role="assistant")
    message.__dict__["role"] = ["user"]
    assert select([message], Window(messages=1)) == [message]
