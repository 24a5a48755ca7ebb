"""What the doctor finds, on healthy servers and on ailing ones; and that it changes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import redis
from langchain_core.messages import HumanMessage
from places import PASSWORD, documented, permit, refused_at, with_user
from servers import free_port, wait_until

from langchain_redis_memory import ConfigurationError, Finding, RedisMemory, RetryPolicy
from langchain_redis_memory.inspection import about_server as about
from langchain_redis_memory.inspection import permissions, reaching
from langchain_redis_memory.inspection.findings import gravest, merged
from langchain_redis_memory.storage.keys import Keys
from langchain_redis_memory.storage.sentinels import Word

QUICK = RetryPolicy(attempts=2, initial=0.001, deadline=1)
SECRET = "a-secret-that-nobody-may-see"


def levels(findings):
    """Give the gravest level by subject."""
    subjects = {finding.subject for finding in findings}
    return {
        subject: gravest(found for found in findings if found.subject == subject)
        for subject in subjects
    }


def of(findings, subject):
    """Give the findings about something."""
    return [finding for finding in findings if finding.subject == subject]


async def test_a_healthy_server_has_no_problem(place, do, request):
    """Of each kind, and nothing that is stored changes; what is refused is noted."""
    name = request.node.callspec.params["place"]
    refused_at(place)  # what others were refused before
    async with place.memory() as memory:
        await do(memory.history("a", "u", "s"), "add_messages", [HumanMessage(SECRET)])
        await do(memory.profile("u"), "set", {"name": SECRET})
        keys = sorted(place.client.keys())
        found = await do(memory, "doctor")
        assert sorted(place.client.keys()) == keys
        refused = refused_at(place)
    assert SECRET not in repr(found)
    assert PASSWORD not in repr(found)
    there = levels(found.findings)
    assert found.level in ("ok", "note", "warning"), found.findings
    assert (found.stats.sessions, found.stats.messages) == (1, 1)
    for subject in ("connection", "clock", "permissions", "scripting"):
        assert there[subject] == "ok", found.findings
    # Where the client finds the server by itself, nobody knows how far away that is.
    goes_far = name.endswith(("sentinel", "cluster")) and "tls" not in name
    assert there["encryption"] == ("note" if goes_far else "ok")
    assert there["content"] == there["expiry"] == "ok"
    assert ("encrypted" in of(found.findings, "encryption")[0].text) is ("tls" in name)
    if "permitted" in name:
        asked = {"info", "dbsize", "type", "memory|usage"}
        assert refused == (asked | {"cluster|info"} if "cluster" in name else asked)
        assert there["server"] == there["keys"] == "note"
        assert "eviction" not in there
        return
    assert refused == set()
    assert there["server"] == there["eviction"] == there["memory"] == "ok"
    alone = name in ("tls_cluster", "tls_sentinel")
    assert there["replication"] == ("warning" if alone else "ok")
    assert there["persistence"] == ("ok" if name == "embedded" else "warning")
    expected = {True: "ok", False: None}["sentinel" in name]
    assert there.get("sentinel") == ("warning" if name == "tls_sentinel" else expected)
    assert there.get("cluster") == ("ok" if "cluster" in name else None)


async def test_a_server_that_is_away_is_a_finding(do):
    """With its address and what to look at, and without the password."""
    url = f"redis://user:{SECRET}@127.0.0.1:{free_port()}/0"
    async with RedisMemory.from_url(url, retry=QUICK, on_unavailable="stateless") as memory:
        found = await do(memory, "doctor")
    (finding,) = found.findings
    assert (found.level, finding.subject, found.stats) == ("problem", "connection", None)
    assert "127.0.0.1" in finding.text
    assert SECRET not in repr(found)


async def test_a_wrong_password_is_a_finding(do, tcp_server):
    """It is not told."""
    permit([tcp_server], "+@all", "~*")
    url = f"redis://{with_user('://').removeprefix('://').partition(':')[0]}:{SECRET}@"
    async with RedisMemory.from_url(f"{url}127.0.0.1:{tcp_server.port}/0") as memory:
        found = await do(memory, "doctor")
    (finding,) = found.findings
    assert "refused the user name or password" in finding.text
    assert SECRET not in repr(found)


@pytest.mark.parametrize(
    ("missing", "level", "what"),
    [
        ("lpush", "problem", "LPUSH"),
        ("evalsha", "problem", "EVALSHA"),
        ("unlink", "problem", "UNLINK"),
        ("persist", "problem", "PERSIST"),
        ("time", "problem", "TIME"),
        ("ping", "problem", "PING"),
        ("zrevrangebyscore", "warning", "listing sessions"),
        ("set", "warning", "profiles"),
    ],
)
async def test_each_command_that_is_refused_is_named(places, do, missing, level, what):
    """With the rule to add; and nothing is left behind by trying."""
    place = places.permitted()
    rules = [rule for rule in documented("memory") if rule != f"+{missing}"]
    node = places.value("tcp_server")
    permit([node], *rules, "+info", "+config|get", "+dbsize")
    async with place.memory() as memory:
        found = await do(memory, "doctor", keys=False)
    (finding,) = of(found.findings, "permissions")
    assert finding.level == level
    assert what in finding.text
    assert f"+{missing}" in finding.remedy
    assert place.client.keys() == []
    refused_at(place)


@pytest.mark.parametrize("missing", ["ping", "scan"])
async def test_what_it_needs_itself_may_be_refused_too(places, do, missing):
    """Even then it tells what it can, and does not fail."""
    place = places.permitted()
    permit(
        [places.value("tcp_server")],
        *[rule for rule in documented("memory") if rule != f"+{missing}"],
    )
    async with place.memory() as memory:
        found = await do(memory, "doctor")
    assert (found.stats is None) == (missing == "scan")
    assert missing in " ".join(finding.text.lower() for finding in found.findings)
    refused_at(place)


async def test_on_a_cluster_the_node_that_refuses_is_named(places, do):
    """Each has users of its own; what all have alike is told once."""
    place = places.permitted_cluster()
    servers = places.value("cluster_servers")
    rules = [*documented("memory"), *documented("memory", 1)]
    odd = servers.primary_of("agent:memory:a:u:s")
    permit([odd], *[rule for rule in rules if rule != "+lpush"])
    async with place.memory() as memory:
        found = await do(memory, "doctor")
    named = of(found.findings, "permissions")
    named.sort(key=lambda finding: finding.level, reverse=True)
    assert [finding.level for finding in named] == ["problem", "ok"]
    assert named[0].text.startswith(f"127.0.0.1:{odd.port}: ")
    assert str(odd.port) not in named[1].text
    assert len(of(found.findings, "clock")) == 1
    refused_at(place)


async def test_a_replica_is_no_place_to_write_to(sentinel_servers, do):
    """It is found to be one; writing is not tried."""
    replica = next(node for node in sentinel_servers.servers if node != sentinel_servers.primary())
    async with RedisMemory.from_url(f"redis://127.0.0.1:{replica.port}/0") as memory:
        found = await do(memory, "doctor")
    (finding,) = of(found.findings, "replication")
    assert (finding.level, "replica" in finding.text) == ("problem", True)


async def test_a_full_server_is_a_problem(start_server, do):
    """It refuses writes, and says so when they are tried."""
    server = start_server("--maxmemory", "1", "--maxmemory-policy", "noeviction")
    async with RedisMemory.from_url(server.url) as memory:
        found = await do(memory, "doctor")
    told = of(found.findings, "memory")
    assert [finding.level for finding in told] == ["problem", "problem"]
    assert "SET" in told[1].text
    assert of(found.findings, "eviction")[0].level == "ok"


async def test_a_disk_that_takes_nothing_is_a_problem(start_server, do):
    """Then the server takes no writes, which is no matter of permissions."""
    server = start_server("--save", "1000 1000")
    server.client.set("x", 1)
    (place,) = server.client.config_get("dir").values()
    (Path(place) / "dump.rdb").mkdir()  # where the snapshot was to be
    server.client.bgsave()
    wait_until(lambda: server.client.info()["rdb_last_bgsave_status"] == "err", "that failed")
    url = f"{server.url}?health_check_interval=0"
    async with RedisMemory.from_url(url) as memory:
        found = await do(memory, "doctor", keys=False)
    told = [finding.text for finding in of(found.findings, "persistence")]
    assert any("takes no writes (LTRIM, " in text for text in told)
    assert not of(found.findings, "permissions")


async def test_what_is_stored_is_looked_at(memory, do, server):
    """Damage, sessions for ever and very long ones, each with its key and its remedy."""
    server.client.lpush("agent:memory:a:u:damaged", f'{{"type": "human", "data": "{SECRET}')
    server.client.set("agent:profile:u", f'["{SECRET}"]')
    long = "agent:memory:a:u:long"
    server.client.eval("for i = 1, 5000 do redis.call('RPUSH', KEYS[1], '{}') end", 1, long)
    server.client.pexpire(long, 10**6)
    server.client.set("agent:memory:a:execution_cache:e", "1")
    found = await do(memory, "doctor")
    damaged = of(found.findings, "content")
    assert len(damaged) == 3
    assert {finding.level for finding in damaged} == {"problem"}
    assert any("LINDEX 'agent:memory:a:u:damaged' 0" in finding.remedy for finding in damaged)
    assert any("'agent:profile:u'" in finding.text for finding in damaged)
    assert [finding.level for finding in of(found.findings, "expiry")] == ["warning", "note"]
    assert "1 session has no expiry" in of(found.findings, "expiry")[0].text
    told = of(found.findings, "sizes")
    (size,) = [finding for finding in told if finding.level == "warning"]
    assert "'long'" in size.text
    assert SECRET not in repr(found)
    json.dumps([finding.text for finding in found.findings])


async def test_each_kind_of_finding_has_a_subject_of_its_own(memory, do):
    """Where nothing is wrong, none is told twice."""
    memory.history("a", "u", "s").add_user_message("hello")
    subjects = [finding.subject for finding in (await do(memory, "doctor")).findings]
    assert len(set(subjects)) == len(subjects)


async def test_sessions_for_ever_may_be_meant(server, do):
    """By a memory whose sessions never expire."""
    async with RedisMemory.from_url(server.url, ttl=None) as memory:
        await do(memory.history("a", "u", "s"), "add_messages", [HumanMessage("x")])
        found = await do(memory, "doctor")
    assert levels(found.findings)["expiry"] == "note"


async def test_keys_are_left_out_if_asked(memory, do, server):
    """Then nothing scans."""
    server.client.config_resetstat()
    found = await do(memory, "doctor", keys=False)
    assert found.stats is None
    assert server.client.info("commandstats")["cmdstat_scan"]["calls"] == 1  # it was tried
    with pytest.raises(ConfigurationError, match="keys"):
        await do(memory, "doctor", keys=None)


@pytest.mark.parametrize("slot", [0, 7, 16383])
def test_a_key_is_found_for_a_slot(slot):
    """As Redis reckons it."""
    key = permissions._free_key(Keys(), slot)
    assert redis.cluster.key_slot(key.encode()) == slot
    assert Keys().place(key.encode()).kind == "session"


HEALTHY = {"maxmemory_policy": "noeviction", "maxmemory": "100", "used_memory": "50"}


def level_of(found, text=""):
    """Give the gravest level, of findings with a remedy wherever one is called for."""
    found = list(found)
    assert all(finding.remedy for finding in found if finding.level in ("warning", "problem"))
    assert text in " ".join(finding.text for finding in found)
    return gravest(found)


@pytest.mark.parametrize(
    ("facts", "level"),
    [
        (HEALTHY, "ok"),
        ({}, "note"),
        ({"maxmemory_policy": "volatile-lru", "maxmemory": "100"}, "warning"),
        ({"maxmemory_policy": "allkeys-lru", "maxmemory": "100"}, "problem"),
        ({"maxmemory_policy": "allkeys-lru", "maxmemory": "0"}, "note"),
        ({"maxmemory_policy": "volatile-lru", "maxmemory": "100", "evicted_keys": "3"}, "problem"),
    ],
)
def test_eviction(facts, level):
    """What deletes profiles is graver than what deletes conversations; both are told."""
    assert level_of(about.of_eviction(facts)) == level


@pytest.mark.parametrize(
    ("facts", "level"),
    [
        (HEALTHY, "ok"),
        ({}, "note"),
        (HEALTHY | {"used_memory": "81"}, "warning"),
        (HEALTHY | {"used_memory": "99"}, "problem"),
        ({"maxmemory": "0", "used_memory": "96", "total_system_memory": "100"}, "problem"),
        ({"maxmemory": "0", "used_memory": "96"}, "ok"),
    ],
)
def test_fill(facts, level):
    """Of its limit, or of the machine if it has none."""
    assert level_of(about.of_memory(facts)) == level


@pytest.mark.parametrize(
    ("facts", "settings", "level"),
    [
        ({}, (None, None), "note"),
        ({"aof_enabled": "1"}, ("always", ""), "ok"),
        ({"aof_enabled": "1"}, ("everysec", ""), "ok"),
        ({"aof_enabled": "1"}, ("no", ""), "warning"),
        ({"aof_enabled": "1"}, (None, None), "note"),
        ({"aof_enabled": "1", "aof_last_write_status": "err"}, ("always", ""), "problem"),
        ({"aof_enabled": "0", "rdb_last_bgsave_status": "err"}, (None, "900 1"), "problem"),
        ({"aof_enabled": "0"}, ("everysec", "900 1"), "warning"),
        ({"aof_enabled": "0"}, (None, None), "warning"),
        ({"aof_enabled": "0"}, ("everysec", ""), "warning"),
    ],
)
def test_persistence(facts, settings, level):
    """What a crash would lose, as far as the server tells."""
    assert level_of(about.of_persistence(facts, *settings)) == level


@pytest.mark.parametrize(
    ("facts", "needs_replica", "level"),
    [
        ({}, True, "note"),
        ({"role": "slave"}, False, "problem"),
        ({"role": "master"}, False, "ok"),
        ({"role": "master"}, True, "warning"),
        ({"role": "master", "slave0": "ip=1,state=online,lag=1"}, True, "ok"),
        ({"role": "master", "slave0": "ip=1,state=wait_bgsave,lag=0"}, True, "warning"),
        ({"role": "master", "slave0": "ip=1,state=online,lag=99"}, True, "warning"),
    ],
)
def test_replication(facts, needs_replica, level):
    """Somebody must be there to take over, and be up to date."""
    assert level_of(about.of_replication(facts, needs_replica=needs_replica)) == level


@pytest.mark.parametrize(
    ("facts", "level"),
    [
        ({}, "note"),
        ({"redis_version": "6.2.14"}, "ok"),
        ({"redis_version": "7.2.4", "valkey_version": "9.1.2"}, "ok"),
        ({"redis_version": "6.0.16"}, "problem"),
        ({"redis_version": "7.4.0", "dragonfly_version": "df-v1.30"}, "warning"),
    ],
)
def test_versions(facts, level):
    """What is too old does not work; what speaks the same language may."""
    assert level_of(about.of_version(facts)) == level


@pytest.mark.parametrize(
    ("facts", "level"),
    [
        ({}, "note"),
        ({"cluster_state": "ok", "cluster_slots_assigned": "16384"}, "ok"),
        ({"cluster_state": "ok", "cluster_slots_pfail": "10"}, "warning"),
        ({"cluster_state": "fail", "cluster_slots_fail": "5461"}, "problem"),
    ],
)
def test_the_state_of_a_cluster(facts, level):
    """Whether all slots are served."""
    assert level_of(about.of_cluster(facts)) == level


SEEN = {"num-other-sentinels": 2, "quorum": 2, "is_odown": False, "is_sdown": False}


@pytest.mark.parametrize(
    ("words", "level"),
    [
        ([Word("s1", SEEN)], "ok"),
        ([Word("s1", SEEN), Word("s2", reason="TimeoutError")], "warning"),
        ([Word("s1", SEEN | {"num-other-sentinels": 1})], "warning"),
        ([Word("s1", SEEN | {"is_sdown": True})], "problem"),
        ([Word("s1", reason="TimeoutError")], "warning"),
    ],
)
def test_sentinels(words, level):
    """They must be enough, and see their primary."""
    assert level_of(about.of_sentinels(words)) == level


async def test_a_sentinel_that_is_away_is_a_finding(sentinel_servers, do):
    """The others are heard."""
    url = sentinel_servers.url.replace("/mymaster", f",127.0.0.1:{free_port()}/mymaster")
    async with RedisMemory.from_url(url) as memory:
        found = await do(memory, "doctor", keys=False)
    silent, enough = of(found.findings, "sentinel")
    assert (silent.level, enough.level) == ("warning", "ok")
    assert "ConnectionError" in silent.text
    assert "3 sentinels" in enough.text


@pytest.mark.parametrize(
    ("least", "most", "level", "text"),
    [
        (-0.2, 0.3, "ok", "agrees"),
        (-30, 30, "ok", "agrees"),  # the answer took a minute
        (4.9, 5.1, "warning", "5 s ahead of"),
        (-5.1, -4.9, "warning", "5 s behind"),
    ],
)
def test_clocks(least, most, level, text):
    """A difference that a slow answer does not explain is told."""
    assert level_of(reaching._of_clocks(least, most), text) == level


@pytest.mark.parametrize(("seconds", "level"), [(0.001, "ok"), (0.02, "note"), (0.2, "warning")])
def test_long_ways(seconds, level):
    """A turn takes two trips."""
    assert reaching._of_trips(seconds, "here").level == level


def test_a_server_elsewhere_without_tls_is_noted():
    """On this machine nobody listens."""
    for url, level in (
        *(("redis://10.0.0.1", "note"), ("rediss://10.0.0.1", "ok"), ("redis://[::1]:1", "ok")),
        *(("redis://localhost", "ok"), ("redis://localhost.example.com", "note")),
        *(("redis+sentinel://localhost/x", "note"), ("redis+cluster://127.0.0.1", "note")),
    ):
        with RedisMemory.from_url(url) as memory:
            assert reaching._of_encryption(memory._connection.server).level == level


def test_what_several_nodes_have_alike_is_told_once():
    """What some have names them."""
    same, own = Finding("ok", "clock", "agrees"), Finding("warning", "memory", "full", "more")
    found = list(merged({"n1": [same, own], "n2": [same], "n3": [same, own]}))
    assert found == [same, Finding("warning", "memory", "n1, n3: full", "more")]
    assert list(merged({"": [own]})) == [own]


@pytest.mark.parametrize("kind", ["permitted", "permitted_cluster"])
async def test_with_the_rule_that_the_docs_have_for_it_all_is_told(places, do, kind):
    """No command is refused, and each of the rule is sent."""
    place = getattr(places, kind)()
    cluster = "cluster" in kind
    servers = places.value("cluster_servers").nodes if cluster else [places.value("tcp_server")]
    more = documented("memory", 2)
    permit(servers, *documented("memory"), *(documented("memory", 1) if cluster else ()), *more)
    for server in place.servers:
        server.config_resetstat()
    async with place.memory() as memory:
        await do(memory.profile("u"), "set", {"name": "Alice"})
        found = await do(memory, "doctor")
    assert refused_at(place) == set()
    notes = [finding for finding in found.findings if finding.level == "note"]
    assert {note.subject for note in notes} <= {"encryption"}  # which no rule is about
    sent = {name for server in place.servers for name in server.info("commandstats")}
    meant = {f"cmdstat_{rule[1:]}" for rule in more}
    assert meant - sent == (set() if cluster else {"cmdstat_cluster|info"})
