"""The commands ``stats`` and ``doctor``, as they are called."""

from __future__ import annotations

import json

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from servers import free_port

from langchain_redis_memory import Stats

SECRET = "a-secret-that-nobody-may-see"


def nowhere():
    """Name a server that is not there, and little patience."""
    url = f"redis://u:{SECRET}@127.0.0.1:{free_port()}/0"
    return {"REDIS_URL": url, "MEMORY__RETRY__ATTEMPTS": "1"}


@pytest.fixture
def filled(memory):
    """A memory with two sessions and a profile."""
    for session, turns in (("s1", 3), ("s\x1b[2J2", 1)):
        messages = [HumanMessage(SECRET), AIMessage("Good day.")] * turns
        memory.history("support", "alice", session).add_messages(messages)
    memory.profile("alice").set({"name": "Alice"})
    return memory


def test_stats_shows_what_there_is(run_command, filled):
    """In 80 columns, with nothing that a terminal would act on."""
    done = run_command("stats")
    assert (done.code, done.err) == (0, "")
    assert "2 sessions, 8 messages, 4 keys" in done.out
    assert "support / alice / s1" in done.out
    assert r"s\u001b[2J2" in done.out
    assert "\x1b" not in done.out
    assert max(map(len, done.out.splitlines())) <= 80
    assert SECRET not in done.out


def test_stats_prints_json(run_command, filled):
    """The figures of the library, with its sums."""
    (record,) = run_command("stats", "--json", "--agent", "support", "--top", "1").records()
    found = filled.stats(agent="support", top=1)
    assert isinstance(found, Stats)
    assert record["kinds"]["session"]["expiries"]["week"] == 2
    assert (record["sessions"], record["messages"], record["keys"]) == (2, 8, 3)
    assert record["bytes"] == found.bytes
    assert [one["session"] for one in record["largest"]] == ["s1"]


def test_stats_of_nothing(run_command, memory):
    """An empty memory, and a user who is not there, are no failure."""
    assert "0 sessions" in run_command("stats").out
    assert "0 sessions" in run_command("stats", "--user", "nobody").out


def test_stats_of_a_server_that_is_away_fails(run_command):
    """With exit code 1, and the reason in a line."""
    done = run_command("stats", **nowhere())
    assert (done.code, done.out) == (1, "")
    assert "refused" in done.err
    assert SECRET not in done.err


@pytest.mark.parametrize(
    "wrong", [("stats", "--top", "0"), ("stats", "--user", ""), ("doctor", "--fast")]
)
def test_wrong_calls(run_command, memory, wrong):
    """Exit code 2."""
    assert run_command(*wrong).code == 2


def test_doctor_tells_all_and_its_remedies(run_command, filled):
    """In 80 columns; a warning is no problem unless asked."""
    done = run_command("doctor")
    assert (done.code, done.err) == (0, "")
    assert "warning  persistence" in done.out
    assert "-> set appendonly yes" in done.out
    assert "none of 3 sessions and profiles" in " ".join(done.out.split())
    assert done.out.splitlines()[-1] == "1 warning."
    assert max(map(len, done.out.splitlines())) <= 80
    assert SECRET not in done.out
    assert run_command("doctor", "--strict").code == 1


def test_doctor_finds_a_problem(run_command, filled, server):
    """Exit code 1; looking at the server alone does not see it."""
    server.client.lpush("agent:memory:support:alice:damaged", SECRET)
    done = run_command("doctor")
    assert done.code == 1
    assert "LINDEX" in done.out
    assert SECRET not in done.out
    assert run_command("doctor", "--quick").code == 0


def test_doctor_prints_json(run_command, filled):
    """A finding a line."""
    records = run_command("doctor", "--json").records()
    assert {"level", "subject", "text", "remedy"} == set(records[0])
    assert {"connection", "eviction", "persistence", "content"} <= {
        record["subject"] for record in records
    }
    assert SECRET not in json.dumps(records)


def test_doctor_of_a_server_that_is_away(run_command):
    """A finding and exit code 1, without the password."""
    done = run_command("doctor", **nowhere())
    assert (done.code, done.err) == (1, "")
    assert "problem  connection" in done.out
    assert SECRET not in done.out
