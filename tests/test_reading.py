"""What a read fetches: ids wherever they are spelled, no more bytes than it must, one trip."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    message_to_dict,
)
from langchain_core.messages.utils import count_tokens_approximately
from pydantic import ValidationError
from test_codec import has_split_pair
from test_window import FORMS, communitys, ours

from langchain_redis_memory import CorruptedDataError, Window
from langchain_redis_memory.window import select

THOROUGH = settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])

# Ids


def in_utf_16(message):
    return json.dumps(message_to_dict(message), ensure_ascii=False).encode(
        "utf-16", "surrogatepass"
    )


def escaped(message):
    """Every character of every string as an escape, in capitals, as JSON allows."""

    def spell(value):
        if isinstance(value, str):
            units = value.encode("utf-16-be", "surrogatepass")
            codes = (units[i : i + 2].hex().upper() for i in range(0, len(units), 2))
            return '"' + "".join(f"\\u{code}" for code in codes) + '"'
        if isinstance(value, dict):
            return "{" + ",".join(f"{spell(k)} :{spell(v)}" for k, v in value.items()) + "}"
        if isinstance(value, list):
            return "[" + ",".join(map(spell, value)) + "]"
        return json.dumps(value)

    return spell(message_to_dict(message)).encode()


def with_slashes_escaped(message):
    return communitys(message).replace(b"/", rb"\/")


SPELLINGS = [*FORMS, in_utf_16, escaped, with_slashes_escaped]
ODD = ["1", "11", 'a"b', 'a"c', "a\\", "a/b", "é", "\n", "\x00", "😀", "\ud800", "id", '"id":"x"']
USUAL = ["x" * 300, "run-0199f0c2-7d4e-7c3a-8a5f-0123456789ab"]
IDS = st.one_of(
    st.sampled_from([*ODD, *USUAL]),
    st.text(st.characters(exclude_categories=()), min_size=1, max_size=4),
)


def spell(message, spelling):
    try:
        return spelling(message)
    except UnicodeEncodeError:  # half of a surrogate pair in a form that has no escapes
        return communitys(message)


def around(identity):
    """Messages that hold an id, if their class takes it, and others that only mention it."""
    call = {"name": "f", "args": {"id": identity}, "id": identity, "type": "tool_call"}
    try:
        holder = HumanMessage("h", id=identity)
    except ValidationError:  # pydantic before 2.9 refuses ids that are not UTF-8
        return []
    return [
        holder,
        AIMessage(f'"id":"{identity}"', tool_calls=[call], id="other"),
        ToolMessage(f'{{"id": "{identity}"}}', tool_call_id=identity, artifact={"id": identity}),
    ]


@pytest.mark.parametrize("window", [None, 1, Window(tokens=5, counter=len)], ids=str)
def test_the_last_id_that_is_stored_is_found_however_it_is_spelled(server, memory, window):
    """Whoever wrote it: the ids given back are stored, and the last one stored is among them."""
    chat = memory.conversation("a", "u", "s", window=window)

    @THOROUGH
    @example(["é"], ["é"], [escaped])
    @example(['a"c', 'a"b'], ["1", 'a"b'], [ours])
    @given(
        st.lists(IDS, max_size=5),
        st.lists(IDS, min_size=1, max_size=4),
        st.lists(st.sampled_from(SPELLINGS), min_size=1, max_size=4),
    )
    def check(stored, asked, spellings):
        server.client.delete(chat.key)
        known = set()
        for number, identity in enumerate(stored):
            for message in around(identity)[number % 3 :]:
                if has_split_pair(message):
                    continue
                element = spell(message, spellings[number % len(spellings)])
                server.client.lpush(chat.key, element)
                if message.id == identity:
                    known.add(identity)
        known |= {"other"} if server.client.exists(chat.key) and stored else set()
        found = chat.read(ids=asked).ids
        expected = [identity for identity in asked if identity in known]
        assert found <= known
        assert found.issuperset(expected[-1:])

    check()


def test_looking_for_ids_fetches_only_what_may_have_them(server, memory):
    """A conversation of any length: the window and the elements that were found are transferred."""
    chat = memory.conversation("a", "u", "s", window=2)
    for start in range(0, 2000, 200):
        chat.append([HumanMessage("h" * 100, id=f"m{start + i}") for i in range(200)])
        chat.append([AIMessage("a")])
    everything = [f"m{number}" for number in range(2000)]
    for asked, last in [
        (["new"], None),
        ([*everything, "new"], "m1999"),
        (["new", "m3"], "m3"),
        ([f"new{number}" for number in range(500)], None),
    ]:
        before = server.client.info("stats")["total_net_output_bytes"]
        found = chat.read(ids=asked).ids
        assert server.client.info("stats")["total_net_output_bytes"] - before < 100_000
        assert (max(found, key=asked.index) if found else None) == last


def test_a_damaged_element_hides_no_id(server, memory):
    """It is left to who reads it; ids of others are found, before and after it."""
    chat = memory.conversation("a", "u", "s", window=1)
    damaged = [b"", b"no JSON", b'{"append":"0","id":"', b'{"id', b'{"append":"0","id":"m1"}']
    for number in range(3):
        chat.append([HumanMessage("h", id=f"m{number}"), AIMessage("a")])
        for element in damaged:
            server.client.lpush(chat.key, element)
    chat.append([HumanMessage("h"), AIMessage("a")])
    chat.append([HumanMessage("h"), AIMessage("a")])
    for number in range(3):
        assert chat.read(ids=[f"m{number}", "new"]).ids == {f"m{number}"}


# Windows in tokens


def tokens_window(tokens, counter=count_tokens_approximately):
    return Window(tokens=tokens, counter=counter)


def talk(turns, text):
    return [m for i in range(turns) for m in (HumanMessage(f"{i} {text}"), AIMessage(text))]


def test_a_window_in_tokens_fetches_no_more_than_it_is_likely_to_need(server, memory):
    """One trip, and about 64 bytes a token, whatever the length of the conversation."""
    chat = memory.conversation("a", "u", "s", window=tokens_window(1000))
    messages = talk(1500, "some words of an answer")
    for start in range(0, len(messages), 500):
        chat.append(messages[start : start + 500])
    chat.read()
    trips = memory.round_trips
    before = server.client.info("stats")["total_net_output_bytes"]
    window = chat.read().messages
    assert server.client.info("stats")["total_net_output_bytes"] - before < 80_000
    assert memory.round_trips - trips == 1
    assert window == select(reversed(messages), chat.limits.reading, messages[0])
    assert len(window) > 50


async def test_what_was_too_little_is_fetched_in_a_second_trip(memory):
    """A counter that counts little for much gives the same window, in two trips at most."""
    messages = talk(300, "x" * 1000)
    for counter in (len, lambda messages: 0, lambda messages: 100 * len(messages)):
        chat = memory.conversation("a", "u", "s", window=tokens_window(200, counter))
        chat.clear()
        chat.append(messages)
        trips = memory.round_trips
        expected = select(reversed(messages[-201:]), chat.limits.reading, whole=False)
        assert chat.read(ids=["new"]).messages == expected
        assert memory.round_trips - trips <= 2
        assert (await chat.aread()).messages == expected
    await memory.aclose()


def test_the_elements_of_a_short_window_may_be_large(server, memory):
    """The newest turn is given whole, and messages of very different sizes are counted as such."""
    chat = memory.conversation("a", "u", "s", window=tokens_window(20))
    small, large = talk(50, "x"), talk(3, "y" * 50_000)
    messages = [*small, *large, *talk(10, "z")]
    for part in (small, large, talk(10, "z")):
        chat.append(part)
    assert chat.read().messages == select(reversed(messages), chat.limits.reading, messages[0])
    chat.append([HumanMessage("w" * 100_000), AIMessage("v" * 100_000)])
    assert [len(message.content) for message in chat.read().messages] == [100_000, 100_000]


def test_damage_that_a_window_in_tokens_does_not_need_is_not_met(server, memory):
    """Only what the window needs is decoded."""
    chat = memory.conversation("a", "u", "s", window=tokens_window(30))
    chat.append(talk(20, "x"))
    server.client.lset(chat.key, 39, "damaged")
    with pytest.raises(CorruptedDataError):  # the oldest message, which could be the system's
        chat.read()
    server.client.rpush(chat.key, ours(HumanMessage("first")))
    assert len(chat.read().messages) >= 2


# Damage

TOKEN = "0199f0c27d4e7c3a8a5f0199f0c27d4e"
TORN = f'{{"append":"{TOKEN}","type":"human","data":{{"conte'.encode()


def test_damage_outside_the_window_is_passed_over(server, memory):
    """Also where more was fetched, since the newest turn is longer than the window."""
    chat = memory.history("support", "alice", "s", window=4)
    for number in range(6):
        chat.add_messages([HumanMessage(str(number)), AIMessage("ok")])
    newest = [HumanMessage("long"), *(AIMessage(str(number)) for number in range(4))]
    chat.add_messages(newest)
    server.client.lset(chat.key, 9, TORN)
    assert chat.messages == newest


@pytest.mark.parametrize("damaged", [TORN, TORN[:50], b"", b"x" * 99])
def test_a_damaged_beginning_is_told_where_it_may_be_given(server, memory, damaged):
    """It could be what the model is told to do; who wants no system message does not care."""
    for keeps in (True, False):
        window = Window(messages=2, keep_system=keeps)
        chat = memory.history("support", "alice", f"s{keeps}", window=window)
        turn = [HumanMessage("hi"), AIMessage("ok")]
        chat.add_messages([SystemMessage("be brief"), *turn, *turn, *turn])
        server.client.lset(chat.key, -1, damaged)
        if keeps:
            with pytest.raises(CorruptedDataError, match="element 6"):
                _ = chat.messages
        else:
            assert chat.messages == turn
