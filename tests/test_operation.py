"""Operations as values: what several of them are as one."""

from __future__ import annotations

import pytest

from langchain_redis_memory import companions
from langchain_redis_memory.companions import SessionEntry, extend, touch
from langchain_redis_memory.errors import StorageRejected
from langchain_redis_memory.storage.operation import (
    Operation,
    Script,
    Standing,
    StandingCall,
    combined,
)
from langchain_redis_memory.storage.requests import by_digest, packed

SCRIPT = Script("return 1")


def operation(name, commands, read=list, **options):
    return Operation(name, tuple(commands), read, f"key of {name}", **options)


def pair(*results):
    return results


def test_commands_travel_together_and_each_part_reads_its_own_replies():
    """In their order, also when one part has several commands."""
    first = operation("reading one", [("LLEN", "a"), SCRIPT.on("a")], sum)
    second = operation("reading two", [("GET", "b")], lambda replies: replies[0])
    both = combined(pair, first, second)
    assert both.commands == (("LLEN", "a"), SCRIPT.on("a"), ("GET", "b"))
    assert both.read([1, 2, b"x"]) == (3, b"x")
    assert combined(lambda found: found + 1, first).read([1, 2]) == 4


def test_names_stand_once_each():
    """In errors that concern them all."""
    one, two = operation("reading", [("GET", "a")]), operation("writing", [("SET", "b", "")])
    assert combined(pair, one, two).name == "reading and writing"
    assert combined(pair, one, one, two).name == "reading and writing"
    assert combined(pair, one, two).key == "key of reading"


def test_a_repeat_sends_what_each_part_would_send_again():
    """Which is the same, where a part does not say otherwise."""
    one = operation("reading", [("GET", "a")])
    two = operation("writing", [("SET", "b", "1")], again=lambda: (("SET", "b", "2"),))
    both = combined(pair, one, two)
    assert both.commands == (("GET", "a"), ("SET", "b", "1"))
    assert both.repeated().commands == (("GET", "a"), ("SET", "b", "2"))
    assert both.repeated().repeated().commands == (("GET", "a"), ("SET", "b", "2"))


def test_without_redis_each_part_gives_what_it_gives_alone():
    """And there is no result if one of them has none."""
    one = operation("one", [("GET", "a")], absent=lambda: "nothing")
    two = operation("two", [("GET", "b")], absent=lambda: 0)
    never = operation("three", [("UNLINK", "c")])
    assert combined(pair, one, two).absent() == ("nothing", 0)
    assert combined(pair, one, never).absent is None


@pytest.mark.parametrize("writes", [False, True])
def test_it_writes_if_a_part_does(writes):
    """Whichever that is."""
    one = operation("one", [("GET", "a")])
    two = operation("two", [("SET", "b", "")], writes=writes)
    assert combined(pair, one, two).writes is writes
    assert combined(pair, two, one).writes is writes


def test_each_command_belongs_to_a_part():
    """Of one that was not combined, to itself."""
    one = operation("one", [("GET", "a"), ("PTTL", "a")])
    two = operation("two", [("GET", "b")])
    both = combined(pair, one, two)
    assert [both.part(position) for position in range(3)] == [one, one, two]
    assert one.part(1) is one


def test_what_a_part_raises_is_raised():
    """When it reads its replies."""

    def refuse(_replies):
        raise StorageRejected("no")

    both = combined(pair, operation("one", [("GET", "a")]), operation("two", [("X",)], refuse))
    with pytest.raises(StorageRejected, match="no"):
        both.read([b"", b""])


KEY, ENTRY = (
    "agent:memory:support:alice:s1",
    SessionEntry("agent:memory:support:alice:sessions", "s1"),
)


@pytest.mark.parametrize(
    ("make", "ttl", "first"),
    [(extend, 60_000, "PEXPIRE"), (touch, 60_000, "PEXPIRE"), (touch, 0, "PERSIST")],
)
def test_what_goes_with_a_session_is_kept_as_it_goes_over_the_wire(make, ttl, first):
    """It is what it would be if it were made anew, and is written once."""
    lasts, index = by_digest(operation("reading", make(KEY, ttl, ENTRY)))
    assert lasts[:2] == (first, f"{KEY}:summary:{{{KEY}}}")
    assert index[0] == "EVALSHA"
    assert index[3] == ENTRY.key
    written = packed([lasts, index])
    assert written == packed([tuple(lasts), tuple(index)])
    kept = [command.wire for command in by_digest(operation("reading", make(KEY, ttl, ENTRY)))]
    assert b"".join(kept) == written
    assert packed([lasts, index]) == written
    assert [lasts.wire, index.wire] == kept
    assert lasts.wire is kept[0]


def test_what_nothing_goes_with_sends_nothing():
    """A list of the caller's own has neither summary nor index; what never expires stays."""
    assert extend(KEY, 60_000, None) == touch(KEY, 60_000, None) == extend(KEY, 0, ENTRY) == ()


@pytest.mark.parametrize("make", [extend, touch])
def test_only_what_may_be_kept_is_kept(make):
    """Whoever gives ids of any length, or of any number, fills no memory with them."""
    assert make("k" * 256, 1, ENTRY) is make("k" * 256, 1, ENTRY)
    assert make("k" * 257, 1, ENTRY) is not make("k" * 257, 1, ENTRY)
    assert make("k", 1, ENTRY) != make("k", 2, ENTRY)
    assert companions._kept.cache_info().maxsize == 2048


def test_a_standing_call_is_the_call_that_it_was_made_of():
    """By digest it is always the same command, in full it is what any server understands."""
    call = SCRIPT.on("a", 1)
    standing = StandingCall(call)
    assert standing.by_digest() is standing.by_digest()
    assert standing.by_digest() == call.by_digest() == Standing(call.by_digest())
    assert standing.in_full() == call.in_full()
    assert packed([standing.by_digest()]) == packed([call.by_digest()])
