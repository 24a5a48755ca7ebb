"""OpenTelemetry's spans and metrics, with its real SDK, over real servers."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from pathlib import Path

import pytest
from agents import CONFIG as AGENT_CONFIG
from agents import WAYS, agent_of, calling, saying
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableLambda
from opentelemetry.trace import SpanKind, StatusCode
from watching import OURS, set_up

from langchain_redis_memory import (
    OfflineChatModel,
    RedisMemory,
    RetryPolicy,
    StorageRejected,
    StorageUnavailable,
    SummaryPolicy,
)
from langchain_redis_memory.display import as_text
from langchain_redis_memory.sessions.looking import look_at
from langchain_redis_memory.storage.operation import Operation, Script, combined
from langchain_redis_memory.telemetry import signals as telemetry_signals
from langchain_redis_memory.telemetry.attributes import of_error, of_request, of_server

CONFIG = {"configurable": {"session_id": "s1", "user_id": "alice"}}
QUICK = RetryPolicy(attempts=3, initial=0.001, maximum=0.001, deadline=2)
READ = ["caller", "read turn", "reading a conversation"]
WRITE = ["caller", "write turn", "saving a turn"]


async def streamed(chat, text):
    return [piece async for piece in chat.astream(text, CONFIG)]


CALLS = {
    "invoke": lambda chat, text: asyncio.to_thread(chat.invoke, text, CONFIG),
    "ainvoke": lambda chat, text: chat.ainvoke(text, CONFIG),
    "stream": lambda chat, text: asyncio.to_thread(lambda: [*chat.stream(text, CONFIG)]),
    "astream": streamed,
}


# Turns


@pytest.mark.parametrize("call", CALLS)
async def test_a_turn_is_two_spans_with_a_request_each(memory_here, watched, call):
    """In the caller's trace; the reply is not within them, and nothing else is recorded."""
    chat = memory_here.with_history(OfflineChatModel(), agent="support")
    with watched.caller():
        await CALLS[call](chat, "My name is Alice.")
    ours = [span for span in watched.spans() if span.name != "caller"]
    assert [watched.line(span) for span in ours] == [READ, READ[:2], WRITE, WRITE[:2]]
    assert [span.kind for span in ours] == [SpanKind.CLIENT, SpanKind.INTERNAL] * 2
    assert {span.status.status_code for span in ours} == {StatusCode.UNSET}
    assert {span.instrumentation_scope.name for span in ours} == {OURS}
    assert watched.total(f"{OURS}.turn.duration", phase="read") == 1
    assert watched.total(f"{OURS}.turn.duration", phase="write") == 1


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "astream updates"])
async def test_an_agents_turn_is_recorded_the_same(memory_here, watched, way):
    """However many of its steps call tools."""
    agent = agent_of(memory_here, [calling(("add", {"a": 1, "b": 2})), "3."])
    with watched.caller():
        await WAYS[way](agent, saying("1 + 2?"), AGENT_CONFIG)
    names = "reading a conversation and reading a profile"
    requests = [span for span in watched.spans() if span.kind is SpanKind.CLIENT]
    assert [watched.line(span) for span in requests] == [[*READ[:2], names], WRITE]
    assert watched.total(f"{OURS}.messages", direction="write") == 4


async def test_a_turn_that_is_cut_short_is_written_in_its_callers_trace(memory_here, watched):
    """Also when the reader of a stream leaves, or the runnable fails."""
    chat = memory_here.with_history(OfflineChatModel(), agent="a")
    with watched.caller():
        async with aclosing(chat.astream("My name is Alice.", CONFIG)) as stream:
            await anext(stream)
    assert WRITE in [watched.line(span) for span in watched.spans()]

    def fail(_):
        raise KeyError("secret")

    failing = memory_here.with_history(RunnableLambda(fail), agent="a", keep_failed_input=True)
    with watched.caller(), pytest.raises(KeyError):
        await failing.ainvoke("Hello?", CONFIG)
    assert [watched.line(span) for span in watched.spans()].count(WRITE) == 2


async def test_each_callers_request_is_in_its_own_trace(memory_here, watched):
    """Though many travel in one pipeline: 20 tasks at once, and 20 threads."""
    history = memory_here.history("support", "alice", "s1")
    sent = memory_here.round_trips

    async def task(number):
        with watched.caller(f"task {number}"):
            await history.acount()

    def thread(number):
        with watched.caller(f"thread {number}"):
            history.count()

    await asyncio.gather(*map(task, range(20)))
    assert memory_here.round_trips - sent < 20
    with ThreadPoolExecutor(8) as threads:
        await asyncio.to_thread(lambda: [*threads.map(thread, range(20))])
    lines = sorted(watched.line(span) for span in watched.spans("counting messages"))
    assert lines == sorted(
        [f"{kind} {number}", "counting messages"]
        for kind in ("task", "thread")
        for number in range(20)
    )


# Requests


async def test_a_request_has_the_attributes_of_the_convention(tcp_server, watched, do):
    """Where it went, what was sent, and how much; the same in metrics, but for how much."""
    url = f"redis://127.0.0.1:{tcp_server.port}/3"
    async with RedisMemory.from_url(url) as memory:
        history = memory.history("support", "alice", "s1")
        await do(history, "add_messages", [HumanMessage("hello"), AIMessage("hi")])
        await do(history, "count")
    server = {
        "db.system.name": "redis",
        "db.namespace": "3",
        "server.address": "127.0.0.1",
        "server.port": tcp_server.port,
    }
    saving, counting = watched.one("saving a turn"), watched.one("counting messages")
    sent = {"db.query.summary": "saving a turn", "db.operation.name": "PIPELINE"}
    assert dict(saving.attributes) == {
        **server,
        **sent,
        "db.operation.batch.size": 3,
        f"{OURS}.messages": 2,
    }
    counted = {"db.query.summary": "counting messages", "db.operation.name": "LLEN"}
    assert dict(counting.attributes) == {**server, **counted}
    points = watched.metrics()["db.client.operation.duration"]
    assert [dict(point.attributes) for point in points] == [
        {**server, **sent},
        {**server, **counted},
    ]
    bounds = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10)
    assert {point.explicit_bounds for point in points} == {bounds}


async def test_a_cluster_is_told_by_all_its_hosts(cluster_servers, watched, do):
    """A turn is two requests there as well, whichever nodes they go to, in the caller's trace."""
    async with RedisMemory.from_url(cluster_servers.url) as memory:
        chat = memory.with_history(OfflineChatModel(), agent="a")
        with watched.caller():
            await do(chat, "invoke", "My name is Alice.", CONFIG)
        await do(memory, "forget_user", "alice")
    saving = watched.one("saving a turn")
    assert watched.line(saving) == WRITE
    hosts = cluster_servers.url.removeprefix("redis+cluster://")
    assert saving.attributes["server.address"] == hosts
    assert "db.namespace" not in saving.attributes
    assert watched.total(f"{OURS}.round_trips", address=hosts) == memory.round_trips


async def test_what_is_read_and_written_is_counted(server, memory_here, watched, do):
    """Messages, bytes, trips; what was stored before is not stored again."""
    server.client.script_flush()
    history = memory_here.history("support", "alice", "s1")
    await do(history, "add_messages", [HumanMessage("x" * 5000), AIMessage("y")])
    token = json.loads(server.client.lindex(history.key, 0))["append"]
    again = [HumanMessage("x" * 5000), AIMessage("y")]
    conversation = memory_here.conversation("support", "alice", "s1")
    assert not await do(conversation, "append", again, token, repeat=True)
    await do.messages(history)
    await do(history, "count")
    stored = sum(map(len, server.client.lrange(history.key, 0, -1)))
    assert watched.total(f"{OURS}.messages", direction="write") == 2
    assert watched.total(f"{OURS}.messages", direction="read") == 2
    assert watched.total(f"{OURS}.io", direction="read") == stored
    assert 2 * stored < watched.total(f"{OURS}.io", direction="write") < 2 * stored + 1500
    assert watched.total(f"{OURS}.round_trips") == memory_here.round_trips > 4


async def test_what_is_no_reading_is_not_counted_as_one(memory_here, watched, do):
    """Summaries are folded and transcripts shown, whose results call other things messages."""
    model = OfflineChatModel()
    policy = SummaryPolicy(model, after=4, keep=2)
    chat = memory_here.with_history(model, agent="support", summary=policy)
    for _ in range(3):
        await do(chat, "invoke", "My name is Alice.", CONFIG)
    assert await do(memory_here, "summary", "support", "alice", "s1")
    conversation = memory_here.conversation("support", "alice", "s1")
    assert conversation.connection.run(look_at(conversation)).length == 6


async def test_a_refusal_is_told_by_its_kind_alone(server, memory_here, watched, do):
    """The error's words name the key."""
    history = memory_here.history("support", "alice", "s1")
    server.client.set(history.key, "no list")
    with pytest.raises(StorageRejected):
        await do(history, "count")
    span = watched.one("counting messages")
    assert span.status.status_code is StatusCode.ERROR
    assert (span.status.description, span.events) == (None, ())
    assert span.attributes["error.type"] == "WRONGTYPE"
    assert span.attributes["db.response.status_code"] == "WRONGTYPE"
    assert watched.total("db.client.operation.duration", type="WRONGTYPE") == 1


async def test_who_leaves_ends_the_span(start_server, watched):
    """A caller that is cancelled while it waits for a server that hangs."""
    own = start_server()
    async with RedisMemory.from_url(own.url) as memory:
        await memory.aping()
        own.client.client_pause(400)
        waiting = asyncio.ensure_future(memory.history("a", "u", "s").acount())
        await asyncio.sleep(0.05)
        waiting.cancel()
        with suppress(asyncio.CancelledError):
            await waiting
        assert watched.one("counting messages").attributes["error.type"] == "CancelledError"


# Outages


@pytest.fixture
def mortal(start_server):
    """A server that keeps what it acknowledged, to be killed and started again."""
    return start_server("--appendonly", "yes", "--appendfsync", "always")


async def test_retries_are_events_of_the_request(mortal, watched, do):
    """One span for all attempts, an event for each that failed and was followed by another."""
    async with RedisMemory.from_url(mortal.url, retry=QUICK) as memory:
        await do(memory, "ping")
        mortal.kill()
        with pytest.raises(StorageUnavailable):
            await do(memory.history("a", "u", "s"), "count")
        mortal.start()
    span = watched.one("counting messages")
    assert span.status.status_code is StatusCode.ERROR
    assert re.fullmatch(r"\w*Error", span.attributes["error.type"])
    assert [event.name for event in span.events] == ["retry", "retry"]
    assert [event.attributes[f"{OURS}.attempt"] for event in span.events] == [1, 2]
    assert all(event.attributes[f"{OURS}.delay"] > 0 for event in span.events)
    assert watched.total(f"{OURS}.retries", summary="counting messages") == 2
    assert watched.total(f"{OURS}.round_trips") >= 3


async def test_a_retry_that_succeeds_is_no_error(mortal, watched, do):
    """The server is back before the attempts are used up."""
    patient = RetryPolicy(attempts=500, initial=0.02, maximum=0.02, deadline=60)
    async with RedisMemory.from_url(mortal.url, retry=patient) as memory:
        await do(memory, "ping")
        mortal.kill()
        starting = threading.Timer(0.2, mortal.start)
        starting.start()
        await do(memory.history("a", "u", "s"), "count")
        starting.join()
    span = watched.one("counting messages")
    assert span.status.status_code is StatusCode.UNSET
    assert {event.name for event in span.events} == {"retry"}
    assert watched.total("db.client.operation.duration", type="ConnectionError") == 0


async def test_an_outage_is_told_as_it_lasts_and_ends(mortal, watched, do):
    """With what was dropped; what is not sent has no span of a request."""
    async with RedisMemory.from_url(
        mortal.url, retry=QUICK, on_unavailable="stateless", outage_pause=600
    ) as memory:
        chat = memory.with_history(OfflineChatModel(), agent="support")
        mortal.kill()
        for _ in range(2):
            await do(chat, "invoke", "hello", CONFIG)
        assert len([s for s in watched.spans() if s.kind is SpanKind.CLIENT]) == 1
        assert len(watched.spans("write turn")) == 2
        assert watched.total(f"{OURS}.dropped_writes") == memory.dropped_writes == 2
        assert watched.total(f"{OURS}.active_outages") == 1
        mortal.start()
        await do(memory, "ping")
        assert watched.total(f"{OURS}.active_outages") == 0
        assert 0 < watched.total(f"{OURS}.outage.time") < 600


@pytest.mark.parametrize("twin", ["close", "aclose"])
async def test_who_closes_during_an_outage_takes_it_along(mortal, watched, twin):
    """Memories that come and go meanwhile do not add up to outages that never end."""
    memory = RedisMemory.from_url(mortal.url, retry=QUICK)
    mortal.kill()
    with pytest.raises(StorageUnavailable):
        memory.ping()
    assert watched.total(f"{OURS}.active_outages") == 1
    for _ in range(2):
        await (memory.aclose() if twin == "aclose" else asyncio.to_thread(memory.close))
    assert watched.total(f"{OURS}.active_outages") == 0
    mortal.start()


def test_who_looks_is_watched_too(mortal, watched, caplog):
    """What a notebook shows is a request like others, retries and all."""
    caplog.set_level("INFO", OURS)
    with RedisMemory.from_url(mortal.url, retry=QUICK) as memory:
        mortal.kill()
        assert "failed" in as_text(memory.history("a", "u", "s"))
        mortal.start()
    [event] = watched.one("looking at a conversation").events
    assert event.name == "retry"
    [told] = [record for record in caplog.records if record.event == "retry"]
    assert (told.operation, told.server) == ("looking at a conversation", mortal.url)


# Secrets


def exported(watched):
    """Give all that leaves the process, as text."""
    parts = [span.to_json() for span in watched.spans()]
    points = (point for points in watched.metrics().values() for point in points)
    return "\n".join([*parts, *(point.to_json() for point in points)])


SECRETS = ("Tuesday", "alice-4711", "session-4711", "agent-4711", "pass-4711", "Answer", "flavour")


@pytest.mark.parametrize("ids", ["", "true"])
async def test_nothing_that_people_said_or_are_called_is_exported(
    mortal, watched, do, monkeypatch, ids
):
    """Of turns, failures, profiles, caches and removals; ids only when they are asked for."""
    monkeypatch.setenv(telemetry_signals.IDS, ids)
    mortal.client.acl_setuser(
        "me", enabled=True, passwords=["+pass-4711"], keys=["*"], commands=["+@all"]
    )
    url = f"unix://me:pass-4711@{mortal.socket}"
    async with RedisMemory.from_url(url, retry=QUICK) as memory:
        ids_of = {"user_id": "alice-4711", "session_id": "session-4711"}
        chat = memory.with_history(
            RunnableLambda(lambda _: AIMessage("Answer")), agent="agent-4711"
        )
        history = memory.history("agent-4711", "alice-4711", "session-4711")
        await do(chat, "invoke", "See you on Tuesday.", {"configurable": ids_of})
        await do(memory.profile("alice-4711"), "update", {"flavour": "Tuesday"})
        await do(memory.cache("agent-4711"), "set", "flavour", "Tuesday")
        await do(memory, "copy_session", "agent-4711", "alice-4711", "session-4711", "s2")
        mortal.client.rename(history.key, "other")
        mortal.client.set(history.key, "Tuesday")
        with pytest.raises(StorageRejected):
            await do(chat, "invoke", "See you on Tuesday.", {"configurable": ids_of})
        mortal.client.delete(history.key)
        await do(memory, "forget_user", "alice-4711")
        mortal.kill()
        with pytest.raises(StorageUnavailable):
            await do(history, "count")
        mortal.start()
    text = exported(watched)
    found = [secret for secret in SECRETS if secret in text]
    assert found == (["alice-4711", "session-4711", "agent-4711"] if ids else [])
    assert len(watched.spans()) > 10


# On and off


def run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


TURN = """
from langchain_redis_memory import OfflineChatModel, RedisMemory
memory = RedisMemory.from_url({url!r})
chat = memory.with_history(OfflineChatModel(), agent="a")
print(chat.invoke("x", {{"configurable": {{"session_id": "s"}}}}).type)
memory.close()
"""


def test_without_opentelemetry_everything_works(server):
    """Nothing of it can be imported, and nobody notices."""
    blocked = "import sys\nsys.modules['opentelemetry'] = None\n"
    end = "print(*(name for name in sys.modules if name.startswith('opentelemetry.')))"
    assert run(blocked + TURN.format(url=server.url) + end) == ["ai"]


def test_as_long_as_nobody_sets_it_up_we_load_nothing_of_it(server):
    """Though it is installed, and its API is loaded; then a provider of any kind is noticed."""
    end = """
import sys, time
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
memory.ping(); time.sleep(0.2); memory.ping()
print("langchain_redis_memory.telemetry.signals" in sys.modules)
{set_up}
time.sleep(0.2); memory.ping()
print("langchain_redis_memory.telemetry.signals" in sys.modules)
"""
    providers = {
        "trace.set_tracer_provider(trace.NoOpTracerProvider())": "False",
        "trace.set_tracer_provider(TracerProvider())": "True",
        "metrics.set_meter_provider(MeterProvider())": "True",
    }
    turn = TURN.format(url=server.url).replace("memory.close()", "")
    for provider, noticed in providers.items():
        said = run(turn + end.format(set_up=provider))
        assert said == ["ai", "False", noticed], provider


def test_metrics_alone_are_recorded_without_spans(server, watched, monkeypatch):
    """And spans without metrics: whichever was set up."""
    with RedisMemory.from_url(server.url) as memory:
        set_up(monkeypatch, None, watched.meters)
        memory.ping()
        assert watched.total("db.client.operation.duration") == 1
        assert watched.spans() == []
        set_up(monkeypatch, watched.tracers, None)
        memory.ping()
        assert len(watched.spans()) == 1
        assert watched.total("db.client.operation.duration") == 1


def test_a_provider_that_cannot_be_loaded_costs_nobody_a_turn(memory, monkeypatch, caplog):
    """The API raises as often as it is asked for one."""
    set_up(monkeypatch, None, None)
    monkeypatch.setenv("OTEL_PYTHON_TRACER_PROVIDER", "of_no_package")
    for _ in range(3):
        assert memory.ping()
    ours = [r for r in caplog.records if r.name == "langchain_redis_memory"]
    assert [record.levelname for record in ours] == ["WARNING"]
    assert "OTEL_PYTHON_" in ours[0].getMessage()


def test_an_api_that_is_too_old_costs_nobody_a_turn(memory, watched, monkeypatch, caplog):
    """Nothing is recorded, and the log says once what to install."""

    def old(*args, **kwargs):
        raise TypeError("unexpected keyword argument 'explicit_bucket_boundaries_advisory'")

    monkeypatch.setattr(type(watched.meters.get_meter("any")), "create_histogram", old)
    for _ in range(3):
        assert memory.ping()
    assert watched.spans() == []
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "langchain-redis-memory[otel]" in caplog.text


# What attributes are made of


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("localhost:6379/0", ("localhost", None, "0")),
        ("redis.example:7000/12", ("redis.example", 7000, "12")),
        ("[::1]:6380/0", ("::1", 6380, "0")),
        ("unix:///a b/c:1/server.sock", ("/a b/c:1/server.sock", None, None)),
        ("cluster a:7000", ("a", 7000, None)),
        ("cluster a:7000,b:7001", ("a:7000,b:7001", None, None)),
        ("sentinel a:26379,b:26379/main/2", ("a:26379,b:26379", None, "2")),
        ("sentinel main/0", ("main", None, "0")),
    ],
)
def test_where_a_server_is(address, told):
    """As the convention has it: the port only if it is another than Redis's own."""
    found = of_server(address)
    assert found["db.system.name"] == "redis"
    assert tuple(map(found.get, ("server.address", "server.port", "db.namespace"))) == told


def test_what_is_sent():
    """The command's name, or that of all in a pipeline, and the script if it is one."""
    script = Script("return 1")
    get = Operation("getting", (("GET", "k"),), len)
    call = Operation("calling", (script.on("k"),), len)
    assert of_request(get)["db.operation.name"] == "GET"
    assert of_request(call) == {
        "db.query.summary": "calling",
        "db.operation.name": "EVALSHA",
        "db.stored_procedure.name": script.sha,
    }
    assert of_request(combined(list, get, get)) == {
        "db.query.summary": "getting",
        "db.operation.name": "PIPELINE GET",
        "db.operation.batch.size": 2,
    }
    assert of_request(combined(list, get, call)) == {
        "db.query.summary": "getting and calling",
        "db.operation.name": "PIPELINE",
        "db.operation.batch.size": 2,
    }


def test_an_error_is_known_by_what_led_to_it():
    """Ours wraps what happened; one that nothing led to is known by its own name."""
    ours = StorageUnavailable("away")
    assert of_error(ours) == {"error.type": "StorageUnavailable"}
    ours.__cause__ = TimeoutError("secret")
    assert of_error(ours) == {"error.type": "TimeoutError"}


def test_the_docs_name_every_metric_and_attribute():
    """And its unit."""
    page = (Path(__file__).parents[1] / "docs" / "observability.md").read_text()
    source = Path(telemetry_signals.__file__).read_text()
    found = re.findall(r'f"\{SCOPE\}(\.[\w.]+)"(?:, "([^"]+)")?', source)
    assert len(found) > 10
    for name, unit in found:
        assert f"`{OURS}{name}`" in page
        assert not re.search(r"\{|By", unit) or f"`{unit}`" in page
