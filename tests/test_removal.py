"""Removing sessions, users and agents: all that is meant, and nothing else."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from langchain_core.messages import HumanMessage
from places import FEW, Async, Sync
from servers import ClusterServers, wait_until

from langchain_redis_memory import ConfigurationError, Receipt, RedisMemory, StorageUnavailable
from langchain_redis_memory.storage.keys import encode_id

ODD = ["s", "s1", "s10", "a:b", "*", "{x}", "profile", "sessions", "execution_cache", "é🙂", "a\nb"]


def facts(kind, agent=None, user=None, session=None, messages=0):
    return {"kind": kind, "agent": agent, "user": user, "session": session, "messages": messages}


def receipt_of(gone, **options):
    receipt = Receipt(**options)
    for entry in gone.values():
        receipt.add(entry["kind"], entry["messages"])
    return receipt


class World:
    """A server and the model of what it should hold, filled and emptied alike."""

    def __init__(self, memory, client, do):
        self.memory = memory
        self.client = client
        self.do = do
        self.keys = {}

    def in_memory(self, *ids, below=()):
        return ":".join(["agent:memory", *(encode_id(id_, "id") for id_ in ids), *below])

    async def say(self, agent, user, session):
        key = self.in_memory(agent, user, session)
        await self.do(
            self.memory.history(agent, user, session), "add_messages", [HumanMessage("x")] * 2
        )
        before = self.keys.get(key, facts("session"))["messages"]
        self.keys[key] = facts("session", agent, user, session, before + 2)
        self.keys[self.index(agent, user)] = facts("index", agent, user)

    def index(self, agent, user):
        return self.in_memory(agent, user, below=["sessions"])

    def profile(self, user, agent=None):
        key = (
            f"agent:profile:{encode_id(user, 'user')}"
            if agent is None
            else self.in_memory(agent, user, below=["profile"])
        )
        self.client.set(key, json.dumps({"a": 1}))
        self.keys[key] = facts("profile", agent, user)

    def put_below(self, agent, user, session, below):
        key = self.in_memory(agent, user, session, below=below)
        self.client.hset(key, "field", "value")
        self.keys[key] = facts("other", agent, user, session)

    def cached(self, agent):
        key = self.in_memory(agent, below=["execution_cache", "0" * 64])
        self.client.set(key, "1")
        self.keys[key] = facts("cached", agent)

    def strangers(self):
        """Put keys beside the memory's that look much like them."""
        for key in (
            *(
                "agent:memory",
                "agent:memory:",
                "agent:memory:s",
                "agent:memory:s:s",
                "agent:store:s:s",
            ),
            *("other:memory:s:s:s", "agent:profile", "agent:profile:s:s", "xagent:memory:s:s:s"),
        ):
            self.client.set(key, "1")
            self.keys[key] = facts("stranger")

    async def remove(self, name, *ids, gone, **options):
        """Remove by the memory and from the model; both tell the same."""
        expected = {key: entry for key, entry in self.keys.items() if gone(entry)}
        looked = await self.do(self.memory, name, *ids, dry_run=True, **options)
        assert looked == receipt_of(expected, dry_run=True)
        self.check()
        seen = []
        receipt = await self.do(
            self.memory, name, *ids, progress=lambda done: seen.append(done.keys), **options
        )
        for key in expected:
            del self.keys[key]
        assert receipt == receipt_of(expected)
        assert seen == sorted(seen)
        assert seen[-1:] == [receipt.keys] if expected else True

    async def clear_session(self, agent, user, session):
        ids = (agent, user, session)
        await self.remove(
            "clear_session",
            *ids,
            gone=lambda e: (e["agent"], e["user"], e["session"]) == ids,
        )
        self.leave_index(agent, user)

    def leave_index(self, agent, user):
        left = [
            entry
            for entry in self.keys.values()
            if (entry["kind"], entry["agent"], entry["user"]) == ("session", agent, user)
        ]
        if not left:
            self.keys.pop(self.index(agent, user), None)

    async def clear_user(self, agent, user, **options):
        kept = options.get("keep_profiles", False)
        await self.remove(
            "clear_user",
            agent,
            user,
            gone=lambda e: (
                (e["agent"], e["user"]) == (agent, user) and not (kept and e["kind"] == "profile")
            ),
            **options,
        )

    async def clear_agent(self, agent, **options):
        kept = options.get("keep_profiles", False)
        await self.remove(
            "clear_agent",
            agent,
            gone=lambda e: e["agent"] == agent and not (kept and e["kind"] == "profile"),
            **options,
        )

    async def forget_user(self, user):
        await self.remove("forget_user", user, gone=lambda e: e["user"] == user)

    async def listed(self, agent, user):
        found = await self.do(self.memory, "sessions", agent, user)
        expected = {
            entry["session"]: entry["messages"]
            for entry in self.keys.values()
            if (entry["kind"], entry["agent"], entry["user"]) == ("session", agent, user)
        }
        assert {info.session: info.messages for info in found} == expected

    def check(self):
        """Find just what the model holds."""
        found = {key.decode() for key in self.client.scan_iter(count=1000)}
        assert found == set(self.keys)


class Removing(RuleBasedStateMachine):
    """Random ids, odd ones included, created, listed, cleared and forgotten in random order."""

    flavour = Sync

    @initialize()
    def begin(self):
        self.server.client.flushall()
        self.loop = asyncio.new_event_loop()
        memory = RedisMemory.from_url(self.server.url)
        self.world = World(memory, self.server.client, self.flavour())
        self.world.strangers()

    def teardown(self):
        self.loop.run_until_complete(self.world.memory.aclose())
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()

    def do(self, work):
        self.loop.run_until_complete(work)

    ids = st.sampled_from(ODD)

    @rule(agent=ids, user=ids, session=ids)
    def say(self, agent, user, session):
        self.do(self.world.say(agent, user, session))

    @rule(agent=ids, user=ids, session=ids, below=st.sampled_from([["app"], ["x", "*"], ["s1"]]))
    def put_below(self, agent, user, session, below):
        self.world.put_below(agent, user, session, below)

    @rule(user=ids, agent=st.none() | ids)
    def profile(self, user, agent):
        self.world.profile(user, agent)

    @rule(agent=ids)
    def cached(self, agent):
        self.world.cached(agent)

    @rule(agent=ids, user=ids)
    def listed(self, agent, user):
        self.do(self.world.listed(agent, user))

    @rule(agent=ids, user=ids, session=ids)
    def clear_session(self, agent, user, session):
        self.do(self.world.clear_session(agent, user, session))

    @rule(agent=ids, user=ids, keep_profiles=st.booleans())
    def clear_user(self, agent, user, keep_profiles):
        self.do(self.world.clear_user(agent, user, keep_profiles=keep_profiles))

    @rule(agent=ids, keep_profiles=st.booleans())
    def clear_agent(self, agent, keep_profiles):
        self.do(self.world.clear_agent(agent, keep_profiles=keep_profiles))

    @rule(user=ids)
    def forget_user(self, user):
        self.do(self.world.forget_user(user))

    @invariant()
    def as_the_model_says(self):
        if hasattr(self, "world"):
            self.world.check()


@pytest.mark.parametrize("flavour", [Sync, Async])
def test_redis_holds_just_what_a_plain_model_says(server, flavour):
    """After each of many random steps."""

    class Here(Removing):
        pass

    Here.server = server
    Here.flavour = flavour
    case = Here.TestCase
    case.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
    case("runTest").runTest()


@FEW
async def test_whatever_the_scope_nothing_else_goes(place, do):
    """A session is not one that it begins, a user not one of the same name elsewhere."""
    async with place.memory() as memory:
        for agent in ("a", "ab"):
            for user in ("u", "a", "*"):
                for session in ("s", "s1", "s10", "a"):
                    history = memory.history(agent, user, session)
                    await do(history, "add_messages", [HumanMessage("x")])

        async def left():
            found = {}
            for agent in ("a", "ab"):
                for user in ("u", "a", "*"):
                    page = await do(memory, "sessions", agent, user)
                    found[agent, user] = sorted(info.session for info in page)
            return found

        everything = ["a", "s", "s1", "s10"]
        expected = {(agent, user): everything for agent in ("a", "ab") for user in ("u", "a", "*")}
        assert await left() == expected
        receipt = await do(memory, "clear_session", "a", "u", "s1")
        assert (receipt.sessions, receipt.messages, receipt.keys) == (1, 1, 1)
        expected["a", "u"] = ["a", "s", "s10"]
        assert await left() == expected
        receipt = await do(memory, "clear_user", "a", "*")
        assert (receipt.sessions, receipt.indexes) == (4, 1)
        expected["a", "*"] = []
        assert await left() == expected
        receipt = await do(memory, "forget_user", "a")
        assert (receipt.sessions, receipt.indexes) == (8, 2)
        expected["a", "a"] = expected["ab", "a"] = []
        assert await left() == expected
        receipt = await do(memory, "clear_agent", "a")
        assert (receipt.sessions, receipt.indexes) == (3, 1)
        expected["a", "u"] = []
        assert await left() == expected


@FEW
async def test_thousands_are_removed_in_batches(place, do):
    """And the progress is told as they go; a second time there is nothing."""
    async with place.memory() as memory:
        for begin in range(0, 2500, 10):
            here = [memory.conversation("support", f"u{n % 7}", f"s{begin}{n}") for n in range(10)]
            await asyncio.gather(*(one.aappend([HumanMessage("x")]) for one in here))
        seen = []
        receipt = await do(
            memory, "clear_agent", "support", progress=lambda done: seen.append(done.sessions)
        )
        assert (receipt.sessions, receipt.messages, receipt.indexes) == (2500, 2500, 7)
        assert len(seen) > 1
        assert seen[-1] == 2500
        assert await do(memory, "clear_agent", "support") == Receipt()


async def test_progress_is_told_where_nothing_is_meant_too(memory, server, do):
    """So that who waits can see that it goes on, and stop it."""
    for number in range(3000):
        server.client.set(f"agent:memory:support:u{number}:alice:s", "x")
    told = []
    await do(memory, "forget_user", "alice", dry_run=True, progress=told.append)
    assert len(told) > 2
    assert set(map(repr, told)) == {repr(Receipt(dry_run=True))}


@pytest.mark.parametrize("wrong", ["", None, 3, b"s"])
@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("clear_session", ["a", "u", "s"]),
        ("clear_user", ["a", "u"]),
        ("clear_agent", ["a"]),
        ("forget_user", ["u"]),
    ],
)
async def test_a_vague_scope_is_refused(memory, do, wrong, name, ids):
    """No id may be left out, empty, or something else than text; nothing is removed then."""
    memory.history("a", "u", "s").add_user_message("hello")
    for position in range(len(ids)):
        given = [*ids]
        given[position] = wrong
        with pytest.raises(ConfigurationError, match=r"must not be empty|must be a string"):
            await do(memory, name, *given)
    with pytest.raises(TypeError):
        await do(memory, name, *ids[:-1])
    assert memory.history("a", "u", "s").count() == 1


async def test_what_was_not_removed_is_not_pretended_to_be(do, tmp_path):
    """Also when the memory goes on without Redis."""
    from langchain_redis_memory import RetryPolicy

    url = f"unix://{tmp_path}/nobody.sock"
    retry = RetryPolicy(deadline=0.2)
    async with RedisMemory.from_url(url, on_unavailable="stateless", retry=retry) as memory:
        for name, ids in (("clear_session", "aus"), ("clear_user", "au"), ("forget_user", "u")):
            with pytest.raises(StorageUnavailable):
                await do(memory, name, *ids)
            with pytest.raises(StorageUnavailable):
                await do(memory, name, *ids, dry_run=True)


async def test_a_scan_that_breaks_begins_anew(server, do):
    """A cursor means nothing to the server that took over, which would pass over keys."""
    from langchain_redis_memory.storage.steps import scan

    operation = scan("agent:*", 4711, None)
    assert operation.commands[0][1] == 4711
    assert operation.repeated().commands[0][1] == 0


async def test_other_namespaces_stay(server, do):
    """Each tenant removes what is its own."""
    async with (
        RedisMemory.from_url(server.url, namespace="acme") as acme,
        RedisMemory.from_url(server.url, namespace="acme:eu") as europe,
    ):
        for memory in (acme, europe):
            await do(memory.history("a", "u", "s"), "add_messages", [HumanMessage("x")])
        assert (await do(acme, "forget_user", "u")).sessions == 1
        assert await do(europe, "count_sessions", "a", "u") == 1


def test_a_key_below_that_is_no_text_goes_too(memory, server):
    """Applications may name keys by any bytes."""
    memory.history("a", "u", "s").add_user_message("hello")
    server.client.set(b"agent:memory:a:u:s:\xff\xfe", "1")
    server.client.set(b"agent:memory:a:\xff\xfe:s", "1")
    assert memory.forget_user("u") == Receipt(sessions=1, messages=1, indexes=1, other=1)
    assert memory.clear_agent("a") == Receipt()
    assert server.client.keys() == [b"agent:memory:a:\xff\xfe:s"]


@pytest.mark.parametrize("flavour", [Sync, Async])
async def test_a_primary_that_took_over_is_found(tmp_path, flavour):
    """By a memory that knew the cluster before, at once and with all keys."""
    do = flavour()
    servers = ClusterServers(tmp_path)
    try:
        async with RedisMemory.from_url(servers.url) as memory:
            for number in range(40):
                await do(
                    memory.history("a", "u", f"s{number}"), "add_messages", [HumanMessage("x")]
                )
            everything = await do(memory, "forget_user", "u", dry_run=True)
            assert (everything.sessions, everything.messages) == (40, 40)
            for node in servers.nodes[:3]:
                node.client.wait(1, 5000)  # its replica has all of it
            servers.nodes[0].kill()
            wait_until(
                lambda: all(
                    node.client.cluster("INFO")["cluster_state"] == "ok"
                    and len(primaries(node)) == 3
                    for node in servers.nodes[1:]
                ),
                "a replica has taken over",
            )
            assert await do(memory, "forget_user", "u", dry_run=True) == everything
            assert (await do(memory, "forget_user", "u")).sessions == 40
            assert await do(memory, "forget_user", "u") == Receipt()
    finally:
        servers.stop()


def primaries(node):
    lines = node.client.execute_command("CLUSTER NODES").values()
    flags = [facts["flags"] for facts in lines]
    return [found for found in flags if "master" in found and "fail" not in found]


@pytest.mark.parametrize("when", ["_look", "_unlink", "_empty_index"])
@pytest.mark.parametrize("name", ["clear_session", "clear_user", "forget_user"])
async def test_what_is_written_meanwhile_is_listed_or_gone(memory, do, monkeypatch, when, name):
    """A session that somebody writes to while it is removed is never there and not listed."""
    from langchain_redis_memory.sessions import removing

    history = memory.history("a", "u", "s1")
    history.add_user_message("hello")
    ask = getattr(removing, when)

    def meanwhile(*args, **options):
        monkeypatch.setattr(removing, when, ask)
        history.add_user_message("still here")
        return ask(*args, **options)

    monkeypatch.setattr(removing, when, meanwhile)
    ids = {"clear_session": "aus", "clear_user": "au", "forget_user": "u"}[name]
    await do(memory, name, *(id_ + "1" if id_ == "s" else id_ for id_ in ids))
    listed = [info.session for info in memory.sessions("a", "u")]
    assert listed == (["s1"] if history.count() else [])


async def test_a_lost_answer_is_no_reason_to_say_that_nothing_was_removed(memory, do, monkeypatch):
    """Removing is repeated then, and finds nothing; the receipt tells what there was."""
    from langchain_redis_memory.sessions import removing

    memory.history("a", "u", "s1").add_user_message("hello")
    unlink = removing._unlink

    def twice(keys):
        memory._connection.run(unlink(keys))
        return unlink(keys)

    monkeypatch.setattr(removing, "_unlink", twice)
    assert await do(memory, "forget_user", "u") == Receipt(sessions=1, messages=1, indexes=1)


async def test_progress_that_would_have_to_be_awaited_is_refused(memory, do):
    """It would never be called."""

    async def progress(receipt):
        raise AssertionError

    memory.history("a", "u", "s1").add_user_message("hello")
    with pytest.raises(ConfigurationError, match="progress"):
        await do(memory, "forget_user", "u", progress=progress)
    assert memory.history("a", "u", "s1").count() == 1


@pytest.mark.parametrize("wrong", ["no", None, 0])
async def test_what_is_no_flag_is_refused(memory, do, wrong):
    """Whether something is removed is not to be guessed."""
    memory.history("a", "u", "s1").add_user_message("hello")
    with pytest.raises(ConfigurationError, match="dry_run must be True or False"):
        await do(memory, "forget_user", "u", dry_run=wrong)
    with pytest.raises(ConfigurationError, match="keep_profiles must be True or False"):
        await do(memory, "clear_user", "a", "u", keep_profiles=wrong)
    assert memory.history("a", "u", "s1").count() == 1
