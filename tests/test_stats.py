"""Figures of a memory: what is counted, in what steps, and what is not as it should be."""

from __future__ import annotations

import tracemalloc

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from places import Sync, documented, refused_at

from conftest import IN_CI, SHARED_DATA
from langchain_redis_memory import ConfigurationError, RedisMemory, StorageUnavailable
from langchain_redis_memory.inspection import rankings
from langchain_redis_memory.inspection.walking import PAGE, PIECE, Walk
from langchain_redis_memory.samples import load_conversations
from langchain_redis_memory.storage.operation import Layout, NodeGoneError

TURN = [HumanMessage("Hello."), AIMessage("Good day.")]


async def fill(memory, do):
    """Store of every kind of key a few."""
    for user, session, turns in (("alice", "s1", 3), ("alice", "s:2", 1), ("bob", "s1", 2)):
        await do(memory.history("support", user, session), "add_messages", TURN * turns)
    await do(memory.history("sales", "alice", "s1", ttl=None), "add_messages", TURN)
    await do(memory.profile("alice"), "set", {"name": "Alice"})
    await do(memory.profile("bob", agent="support"), "set", {"name": "Bob"})
    await do(memory.cache("support", ttl=60), "set", "key", 1)
    await do(memory.store("notes", ttl=3600 * 24), "mset", [("one", b"1")])


async def counted(memory, do, **options):
    """Count, and look at how far it said it was."""
    seen = []
    found = await do(memory, "stats", progress=seen.append, **options)
    assert [walked.found for walked in seen] == sorted(walked.found for walked in seen)
    assert all(walked.total is None or walked.passed <= walked.total for walked in seen)
    assert seen[-1].total is None or seen[-1].passed == seen[-1].total
    return found


async def test_everything_is_counted(place, do, request):
    """On each kind of server: keys by kind, messages, bytes, expiries, owners, the largest."""
    permitted = "permitted" in request.node.callspec.params["place"]
    async with place.memory() as memory:
        await fill(memory, do)
        found = await counted(memory, do)
        if permitted:
            assert refused_at(place) == {"dbsize", "memory|usage", "type"}
    assert (found.sessions, found.messages, found.keys) == (4, 14, 11)
    keys = {kind: there.keys for kind, there in found.kinds.items() if there.keys}
    assert keys == {"session": 4, "index": 3, "profile": 2, "cached": 1, "store": 1}
    assert found.kinds["session"].expiries.week == 3
    assert found.kinds["session"].expiries.never == 1
    assert found.kinds["profile"].expiries.never == 2
    assert found.kinds["cached"].expiries.hour == 1
    assert found.kinds["store"].expiries.day == 1
    agents = {owner.name: (owner.sessions, owner.messages) for owner in found.agents}
    users = {owner.name: (owner.sessions, owner.messages) for owner in found.users}
    assert agents == {"support": (3, 12), "sales": (1, 2)}
    assert users == {"alice": (3, 10), "bob": (1, 4)}
    assert (found.largest[0].user, found.largest[0].session) == ("alice", "s1")
    assert [one.messages for one in found.largest] == [6, 4, 2, 2]
    assert {one.ttl is None for one in found.largest if one.agent == "sales"} == {True}
    assert found.tells_bytes is not permitted
    assert (found.bytes is None) is permitted
    assert sum(owner.bytes for owner in found.agents) < (found.bytes or 1)
    assert [finding.level for finding in found.findings] == (["note"] if permitted else [])


@pytest.mark.parametrize(
    ("whose", "keys", "messages"),
    [
        ({"agent": "support"}, 7, 12),
        ({"user": "alice"}, 6, 10),
        ({"agent": "support", "user": "bob"}, 3, 4),
        ({"user": "nobody"}, 0, 0),
    ],
)
async def test_an_agents_and_a_users_keys_are_counted_alone(memory, do, whose, keys, messages):
    """With the profile that a user has for all agents, if all agents are meant."""
    await fill(memory, Sync())
    found = await counted(memory, do, **whose)
    assert (found.keys, found.messages) == (keys, messages)
    assert {owner.name for owner in found.agents} <= {whose.get("agent")} | {"support", "sales"}


@pytest.mark.shared_data
async def test_the_recorded_conversations_are_counted(memory, do):
    """All 150, and the longest of them first among equals in bytes."""
    if not SHARED_DATA.exists():
        assert not IN_CI, f"{SHARED_DATA} is missing"
        pytest.skip(f"{SHARED_DATA} is missing: the recorded conversations are not tested")
    conversations = load_conversations(SHARED_DATA)
    for name, messages in conversations.items():
        memory.conversation("airline", name.partition("-")[0], name).append(messages)
    found = await counted(memory, do, top=3)
    assert (found.sessions, found.messages) == (150, 3916)
    assert len(found.users) == len(found.largest) == 3
    assert found.agents[0].bytes == found.bytes
    assert all(one.messages == len(conversations[one.session]) for one in found.largest)
    assert found.largest[0].bytes >= found.largest[1].bytes >= found.largest[2].bytes
    diagnosis = await do(memory, "doctor")
    assert (diagnosis.stats.kinds, diagnosis.stats.agents) == (found.kinds, found.agents)
    assert not [finding for finding in diagnosis.findings if finding.level == "problem"]


async def test_keys_of_another_type_are_findings(memory, do, server):
    """They are counted, named, and no failure; what an application keeps may be of any type."""
    server.client.set("agent:memory:a:u:s", "no list")
    server.client.rpush("agent:memory:a:u:profile", "no string")
    server.client.set("agent:memory:a:u:sessions", "no sorted set")
    server.client.hset("agent:memory:a:u:s:files", "any", "type")
    server.client.set(b"agent:\xff", "not ours")
    server.client.set("other:memory:a:u:s", "of another namespace")
    found = await counted(memory, do)
    assert (found.keys, found.sessions, found.messages) == (5, 0, 0)
    assert (found.kinds["other"].keys, found.kinds["foreign"].keys) == (1, 4)
    problem, note = found.findings
    assert (problem.level, note.level) == ("problem", "note")
    assert "3 keys" in problem.text
    assert "'agent:memory:a:u:profile'" in problem.text
    assert "UNLINK" in problem.remedy
    assert r"agent:\\xff" in note.text


async def test_what_a_user_may_not_look_at_is_a_finding(do, tcp_server):
    """A user with the keys of one agent counts these, and is told that there are others."""
    client = tcp_server.client
    client.flushall()
    rules = [rule for rule in documented("memory") if not rule.startswith("~")]
    client.execute_command(
        *("ACL", "SETUSER", "narrow", "reset", "on", ">pw", "~agent:memory:mine:*"),
        *(*rules, "+type", "+memory|usage"),
    )
    for key in ("agent:memory:mine:u:s", "agent:memory:other:u:s"):
        client.rpush(key, "x")
    with RedisMemory.from_url(f"redis://narrow:pw@127.0.0.1:{tcp_server.port}/0") as memory:
        found = await do(memory, "stats")
        await memory.aclose()
    client.execute_command("ACL", "LOG", "RESET")
    client.execute_command("ACL", "DELUSER", "narrow")
    assert (found.sessions, found.tells_bytes) == (1, True)
    (finding,) = found.findings
    assert finding.level == "warning"
    assert "1 key ('agent:memory:other:u:s')" in finding.text


FILL = """
for i = ARGV[1], ARGV[2] do
  local owner = 'agent:memory:a' .. i % 3 .. ':u' .. i
  redis.call('RPUSH', owner .. ':s', 'x', 'y')
  redis.call('ZADD', owner .. ':sessions', 1, 's')
end
"""


def peak(memory):
    """Give the most memory that counting takes here."""
    memory.stats()
    tracemalloc.start()
    memory.stats()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


async def test_memory_stays_flat_and_requests_are_small(memory, do, server, monkeypatch):
    """With 30,000 keys as with 3,000; no request asks for more than a page of them."""
    monkeypatch.setattr(rankings, "_KEPT", 200)
    server.client.eval(FILL, 0, 1, 1500)
    few = peak(memory)
    server.client.eval(FILL, 0, 1501, 15000)
    assert peak(memory) < 1.5 * few
    asked = []
    run, arun = memory._connection.run, memory._connection.arun

    def noted(operation):
        asked.append(operation)
        return run(operation)

    async def anoted(operation):
        asked.append(operation)
        return await arun(operation)

    monkeypatch.setattr(memory._connection, "run", noted)
    monkeypatch.setattr(memory._connection, "arun", anoted)
    seen = []
    found = await do(memory, "stats", progress=seen.append)
    assert (found.sessions, found.messages, found.keys) == (15000, 30000, 30000)
    assert [owner.sessions for owner in found.agents] == [5000] * 3
    assert (found.all_agents, found.all_users) == (True, False)
    assert len(seen) > 30000 / PAGE / 2
    assert all(walked.total == 30000 for walked in seen)
    for operation in asked:
        names = [str(command[0]) for command in operation.commands]
        assert len({command[1] for command in operation.commands if len(command) > 1}) <= PIECE
        if names == ["SCAN"]:
            assert operation.commands[0][-1] == PAGE
        else:
            assert set(names) <= {"DBSIZE", "PTTL", "LLEN", "TYPE", "MEMORY USAGE"}


def test_a_large_list_is_not_walked(memory, server):
    """The server looks at a few elements to tell how much memory a list takes."""
    server.client.eval("for i = 1, 100000 do redis.call('RPUSH', KEYS[1], 'x') end", 1, "agent:l")
    seen = []
    with server.client.monitor() as monitor:
        memory.stats()
        server.client.echo("end")
        for entry in monitor.listen():
            if entry["command"] == "ECHO end":
                break
            seen.append(entry["command"])
    assert [command for command in seen if "agent:l" in command] == [
        "PTTL agent:l",
        "MEMORY USAGE agent:l",  # without SAMPLES it looks at five
    ]


def walk_of(pages, answers):
    """Follow a walk by hand: pages by cursor, and answers to its other questions."""
    begun, looked = [], []

    def look(page):
        looked.append(page)
        return
        yield

    steps = Walk("agent:*", lambda: begun.append(len(looked)), look, None).steps()
    answer = None
    try:
        while True:
            step = steps.send(answer)
            if getattr(step, "name", "") == "listing keys":
                answer = pages(step)
                if isinstance(answer, Exception):
                    step = steps.throw(answer)
                    answer = answers(step)
            else:
                answer = answers(step)
    except StopIteration:
        return begun, looked


def test_a_walk_begins_anew_where_nobody_knows_where_it_was():
    """A repeat of SCAN goes to a server that may have taken over: what was counted is void."""
    failures = iter([NodeGoneError("gone")])

    def pages(step):
        cursor = step.commands[0][1]
        if cursor:
            return next(failures, (0, [b"agent:2"]))
        return 7, [b"agent:1"]

    def answers(step):
        return 2 if getattr(step, "name", "") == "counting keys" else Layout((None,))

    begun, looked = walk_of(pages, answers)
    assert begun == [0, 1]
    assert looked == [[b"agent:1"], [b"agent:1"], [b"agent:2"]]


def test_a_repeat_of_a_page_in_the_midst_is_no_page():
    """The first page may be asked for again, since nothing was counted by then."""
    from langchain_redis_memory.inspection.walking import _page

    first, later = _page("agent:*", 0, None), _page("agent:*", 7, None)
    for operation in (first, later):
        assert operation.read([[b"0", [b"k"]]]) == (0, [b"k"])
        again = operation.repeated()
        assert again.commands == operation.commands
        if operation is first:
            assert again.read([[b"0", [b"k"]]]) == (0, [b"k"])
        else:
            with pytest.raises(NodeGoneError):
                again.read([[b"0", [b"k"]]])


def test_a_walk_that_never_ends_is_given_up():
    """Slots that keep moving are an error, and no wrong figure."""

    def answers(step):
        return 2 if getattr(step, "name", "") == "counting keys" else Layout((None,))

    with pytest.raises(StorageUnavailable, match="going through the keys"):
        walk_of(lambda step: NodeGoneError("gone"), answers)


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ({"top": 0}, "top"),
        ({"top": None}, "top"),
        ({"agent": ""}, "agent"),
        ({"user": 1}, "user_id"),
    ],
)
async def test_wrong_arguments_are_refused(memory, do, wrong, what):
    """Before anything is asked."""
    with pytest.raises(ConfigurationError, match=what):
        await do(memory, "stats", **wrong)
    assert memory.round_trips == 0


async def test_progress_that_would_have_to_be_awaited_is_refused(memory, do):
    """It would never be called."""

    async def progress(walked):
        raise AssertionError

    for name in ("stats", "doctor"):
        with pytest.raises(ConfigurationError, match="progress"):
            await do(memory, name, progress=progress)
