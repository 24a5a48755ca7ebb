"""A summary is kept with its session: it expires, goes and moves with it."""

from __future__ import annotations

import gzip
import json

import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import (
    HumanMessage,
    SystemMessage,
)
from places import FEW
from summarised import (
    IDS,
    KEY,
    SUMMARY,
    Talk,
    every,
    told,
    words,
)

from langchain_redis_memory import (
    ConfigurationError,
    CorruptedDataError,
    ImportConflictError,
    Receipt,
    SummaryPolicy,
    Transfer,
    Window,
)
from langchain_redis_memory.storage.keys import Keys, Place, summary_of
from langchain_redis_memory.summaries.stored import Mark, Stored


@pytest.fixture
def talk(memory):
    return Talk(memory)


def lives(memory, key=KEY):
    client = memory._connection.client
    return client.pttl(key), client.pttl(summary_of(key))


@FEW
async def test_a_summary_lives_as_long_as_its_session(place, do):
    """Whoever reads or writes, with a policy or without one."""

    def lives_for(seconds):
        left = [place.client.pttl(key) for key in (KEY, SUMMARY)]
        assert max(left) <= seconds * 1000
        assert min(left) > seconds * 1000 - 60_000
        assert left[1] > left[0] - 100  # looked at one after the other

    async with place.memory() as memory:
        Talk(memory, ttl=1000).turns(5)
        for ttl in (500, 2000):
            await do.messages(memory.history(*IDS, ttl=ttl))
            lives_for(ttl)
            await do.messages(memory.history(*IDS, ttl=ttl + 100, window=2))
            lives_for(ttl + 100)
        await do(memory.history(*IDS, ttl=300), "add_messages", [HumanMessage("m")])
        lives_for(300)
        await do(memory.history(*IDS, ttl=None), "add_messages", [HumanMessage("m")])
        assert place.client.pttl(KEY) == place.client.pttl(SUMMARY) == -1
        Talk(memory, ttl=100).turns(1)
        lives_for(100)


def test_a_new_summary_expires_with_its_session(memory):
    """As the session does when it is written."""
    Talk(memory, ttl=50).turns(4)
    session, summary = lives(memory)
    assert 0 < summary <= 50_000
    assert abs(session - summary) < 1000
    Talk(memory, ttl=None, ids=("a", "u", "other")).turns(4)
    assert lives(memory, "agent:memory:a:u:other") == (-1, -1)


def test_a_summary_is_none_of_a_session_that_was_begun_anew(talk, memory):
    """Also when another program has removed the list alone."""
    talk.turns(6)
    memory._connection.client.delete(KEY)
    assert talk.summary is None
    talk.answer.number = 0
    talk.turn()
    assert words(talk.answer.given[-1]) == ["m1"]
    talk.turns(6)
    assert talk.has_all()
    assert talk.summary is not None


@FEW
async def test_clearing_takes_the_summary_along(place, do):
    """By each way to clear; a receipt counts it."""
    async with place.memory() as memory:

        async def begin():
            Talk(memory).turns(5)
            assert place.client.exists(SUMMARY) == 1
            return Receipt(sessions=1, messages=10, summaries=1)

        await begin()
        await do(memory.history(*IDS), "clear")
        assert place.client.exists(SUMMARY) == 0
        await begin()
        await do(memory, "clear_summary", *IDS)
        assert place.client.exists(SUMMARY) == 0
        assert await do(memory.history(*IDS), "count") == 10
        await do(memory.history(*IDS), "clear")

        expected = await begin()
        would = await do(memory, "clear_session", *IDS, dry_run=True)
        assert would == Receipt(sessions=1, messages=10, summaries=1, dry_run=True)
        assert (would.keys, would.other) == (2, 0)
        assert await do(memory, "clear_session", *IDS) == expected
        wider = {"clear_user": ("a", "u"), "clear_agent": ("a",), "forget_user": ("u",)}
        for method, ids in wider.items():
            await begin()
            receipt = await do(memory, method, *ids)
            assert (receipt.sessions, receipt.summaries, receipt.other) == (1, 1, 0)
            assert place.client.exists(SUMMARY) == 0


def test_what_an_application_calls_summary_is_its_own(memory):
    """A key below a session is ours only with the session's slot in its name."""
    client = memory._connection.client
    client.set(f"{KEY}:summary", "mine")
    talk = Talk(memory).turns(5)
    assert talk.has_all()
    memory.history(*IDS).clear()
    assert client.get(f"{KEY}:summary") == b"mine"
    assert memory.clear_session(*IDS) == Receipt(other=1)
    keys = Keys()
    assert keys.place(SUMMARY.encode()) == Place("summary", *IDS)
    assert keys.place(f"{KEY}:summary".encode()) == Place("other", *IDS)


def test_a_summary_is_in_the_slot_of_its_session():
    """So one script touches both, whatever the ids are."""
    from redis.crc import key_slot

    for ids in (IDS, ("ä", "{u}", "s:1"), ("a b", "*", "}{")):
        key = Keys("my:tenant").session(*ids)
        assert key_slot(key.encode()) == key_slot(summary_of(key).encode())
        assert Keys("my:tenant").place(summary_of(key).encode()) == Place("summary", *ids)


# Removing what was folded, keeping less


@pytest.mark.parametrize("system", [False, True])
def test_folded_messages_are_removed_on_request(memory, system):
    """In the step that writes the summary; what it does not cover stays, and a system message."""
    if system:
        memory.history(*IDS).add_messages([SystemMessage("rule")])
    talk = Talk(memory, remove_folded=True)
    for _ in range(12):
        talk.turn()
        assert talk.has_all()
        assert talk.history.count() <= 7
    stored = talk.history.messages
    assert isinstance(stored[0], SystemMessage) is system
    assert words(stored) == every(24)[talk.summary.messages :]


def test_a_size_removes_only_what_was_folded(memory):
    """As long as summaries are written."""
    talk = Talk(memory, after=6, keep=2, max_messages=12)
    for _ in range(20):
        talk.turn()
        assert talk.has_all()
        assert talk.history.count() <= 12


# Moving


def exported(memory, path):
    memory.export(path)
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("remove", [False, True])
async def test_an_export_carries_the_summary(memory, do, tmp_path, remove):
    """And an import restores it, so that the conversation goes on as if it had not moved."""
    talk = Talk(memory, remove_folded=remove).turns(6)
    before = talk.summary
    path = tmp_path / "memory.jsonl"
    session = exported(memory, path)[1]
    covers = 0 if remove else before.messages
    assert session["summary"] == {"text": before.text, "messages": 6, "covers": covers}
    memory.clear_session(*IDS)
    for expected in (Transfer(sessions=1, messages=6 if remove else 12), Transfer(unchanged=1)):
        assert await do(memory, "import_", path) == expected
        assert (talk.summary.text, talk.summary.messages) == (before.text, 6)
    session, summary = lives(memory)
    assert summary > 0
    assert abs(session - summary) < 1000
    assert talk.turns(1).has_all()


def test_an_import_replaces_the_summary_with_its_session(memory, tmp_path):
    """Nothing that tells of the replaced messages stays."""
    path = tmp_path / "memory.jsonl"
    Talk(memory).turns(6)
    memory.export(path)
    memory.clear_session(*IDS)
    other = Talk(memory)
    other.answer.number = 100
    other.turns(6)
    with pytest.raises(ImportConflictError):
        memory.import_(path)
    assert "m101" in other.summary.text
    memory.import_(path, on_conflict="skip")
    assert "m101" in other.summary.text
    memory.import_(path, on_conflict="replace")
    assert other.summary.text == "m1 m2 m3 m4 m5 m6"


def test_an_import_keeps_a_summary_that_covers_more(memory, tmp_path):
    """The conversation has gone on since."""
    path = tmp_path / "memory.jsonl"
    talk = Talk(memory).turns(5)
    memory.export(path)
    more = talk.turns(8).summary
    assert memory.import_(path) == Transfer(unchanged=1)
    assert talk.summary == more
    assert talk.turns(1).has_all()


def test_an_import_finds_the_messages_of_another_append(memory, tmp_path):
    """What is stored may be equal to what the file holds, and have other tokens."""
    path = tmp_path / "memory.jsonl"
    talk = Talk(memory).turns(5)
    memory.export(path)
    messages = talk.history.messages
    memory.clear_session(*IDS)
    talk.history.add_messages(messages)
    assert memory.import_(path) == Transfer(unchanged=1)
    assert talk.summary.messages == 6
    assert talk.turns(1).has_all()


def test_a_file_without_summaries_is_read(memory, tmp_path):
    """As earlier versions wrote it; and there is none for a session without one."""
    path = tmp_path / "memory.jsonl"
    Talk(memory).turns(5)
    lines = exported(memory, path)
    del lines[1]["summary"]
    path.write_text("\n".join(map(json.dumps, lines)))
    memory.clear_session(*IDS)
    assert memory.import_(path) == Transfer(sessions=1, messages=10)
    assert memory.summary(*IDS) is None
    memory.clear_session(*IDS)
    Talk(memory).turns(2)
    assert "summary" not in exported(memory, path)[1]


@pytest.mark.parametrize(
    "summary",
    [
        "text",
        {},
        {"text": 1, "messages": 2, "covers": 2},
        {"text": "x", "messages": 10, "covers": 10},
        {"text": "x", "messages": 1, "covers": 2},
        {"text": "x", "messages": 2, "covers": -1},
        {"text": "x", "messages": True, "covers": 0},
    ],
)
def test_a_damaged_summary_in_a_file_is_refused(memory, tmp_path, summary):
    """Before anything is stored."""
    path = tmp_path / "memory.jsonl"
    Talk(memory).turns(5)
    lines = exported(memory, path)
    lines[1]["summary"] = summary
    path.write_text("\n".join(map(json.dumps, lines)))
    memory.clear_session(*IDS)
    with pytest.raises(ConfigurationError, match=r"line 2: summary must have a text"):
        memory.import_(path)
    assert memory.history(*IDS).count() == 0


def test_a_compressed_export_carries_it_too(memory, tmp_path):
    """As it carries everything else."""
    Talk(memory).turns(5)
    memory.export(tmp_path / "memory.jsonl.gz")
    with gzip.open(tmp_path / "memory.jsonl.gz") as file:
        assert b'"summary"' in file.read()


@FEW
async def test_a_copy_has_the_summary(place, do):
    """And goes on from there."""
    async with place.memory() as memory:
        talk = Talk(memory).turns(6)
        await do(memory, "copy_session", *IDS, "copy")
        await do(memory, "copy_session", *IDS, "copy")
        copy = Talk(memory, ids=("a", "u", "copy"))
        assert copy.summary.text == talk.summary.text
        copy.answer.number = 12
        assert copy.turns(1).has_all()
        assert talk.turns(1).has_all()
        key = "agent:memory:a:u:copy"
        assert place.client.pttl(summary_of(key)) > 0


@pytest.mark.parametrize(("until", "has_it"), [(4, False), (6, False), (8, True)])
def test_the_beginning_of_a_session_has_the_summary_if_it_covers_no_more(talk, until, has_it):
    """What was not copied is not told of."""
    talk.turns(6)
    assert talk.summary.messages == 6
    talk.memory.copy_session(*IDS, "copy", until=until)
    copy = Talk(talk.memory, ids=("a", "u", "copy"))
    assert (copy.summary is not None) is has_it
    copy.answer.number = until
    assert copy.turns(1).has_all()


# The stored form


def test_a_mark_is_found_wherever_it_has_moved():
    """Among twins, the one that as many are newer than."""
    elements = [b"e", b"a", b"d", b"a", b"c", b"a", b"b"]
    for position in range(len(elements)):
        mark = Mark.at(position, elements)
        assert mark.position(elements) == position
        assert mark.position([b"new", b"newer", *elements]) == position + 2
        assert mark.position(elements[: position + 1]) == position
        assert mark.position(elements[:position]) is None


@pytest.mark.parametrize("text", ["plain", "ünï", "\ud800", "a\x00b\n"])
def test_any_text_is_stored_exactly(text):
    """As a model may write it."""
    stored = Stored(text, 3, "0199f0c27d4e7c3a8a5f0199f0c27d4e", Mark("0" * 40, 5, 1))
    assert Stored.parse(stored.encoded()) == stored


def test_a_damaged_message_is_told_of(talk, memory):
    """As in a conversation without a summary."""
    talk.turns(2)
    memory._connection.client.lset(KEY, 0, "x")
    with pytest.raises(CorruptedDataError):
        talk.turn()


# Bad input


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"after": 0}, "after must be a whole number of at least 1"),
        ({"after": None}, "after must be a whole number of at least 1, not None"),
        ({"after": 2.5}, "after must be a whole number"),
        ({"keep": True}, "keep must be a whole number"),
        ({"keep": -1}, "keep must be a whole number"),
        ({"after": 5, "keep": 5}, "keep=5 must be less than after=5"),
        ({"prompt": " "}, "prompt must be a text that is not empty"),
        ({"prompt": 1}, "prompt must be a text"),
        ({"remove_folded": "no"}, "remove_folded must be True or False"),
        ({"model": "openai:gpt-5-mini"}, "model must be a chat model, .* not str"),
        ({"model": GenericFakeChatModel}, "not the class GenericFakeChatModel"),
        ({"model": None}, "model must be a chat model"),
    ],
)
def test_a_policy_that_cannot_be_used_is_refused(options, message):
    """With what is wrong."""
    model = options.pop("model", told)
    with pytest.raises(ConfigurationError, match=message):
        SummaryPolicy(model, **options)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"window": 5}, "window=5 is less than after=6"),
        ({"window": Window(messages=5)}, "window=5 is less than after=6"),
        ({"max_messages": 6}, "max_messages=6 must be more than after=6"),
        ({"summary": told}, "summary must be a SummaryPolicy, not a function"),
    ],
)
def test_limits_that_would_lose_messages_are_refused(memory, limits, message):
    """They would be neither given nor summarised."""
    with pytest.raises(ConfigurationError, match=message):
        memory.with_history(
            lambda _: "", agent="a", **{"summary": SummaryPolicy(told, after=6, keep=2), **limits}
        )


@pytest.mark.parametrize("method", ["summary", "clear_summary"])
async def test_ids_are_checked(memory_here, do, method):
    """As everywhere."""
    with pytest.raises(ConfigurationError):
        await do(memory_here, method, "a", "u", "")


def test_nothing_shows_what_was_said(memory):
    """Neither a policy nor a summary, printed."""
    talk = Talk(memory, prompt="m1 secret").turns(5)
    assert "m1" not in f"{talk.policy!r} {talk.summary!r}"
