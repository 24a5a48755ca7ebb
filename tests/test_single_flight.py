"""One computation at a time for an entry: however many callers, however it ends."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import random
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from counted import Async, Counted, Sync, claims, signed, weather
from servers import wait_until

from langchain_redis_memory import (
    CachedError,
    ConfigurationError,
    RedisMemory,
    RetryPolicy,
    StorageRejected,
    StorageUnavailable,
    UnstorableError,
)
from langchain_redis_memory.caching import scripts
from langchain_redis_memory.caching.single_flight import Claim

QUICK = RetryPolicy(attempts=2, initial=0.001, deadline=0.5)


@pytest.fixture
def cache(memory_here):
    """The cache of one agent."""
    return memory_here.cache("support")


@pytest.fixture(params=[Sync, Async], ids=["sync", "async"])
def do(request):
    """Makes a function synchronous or asynchronous, and calls it."""
    return request.param()


@pytest.fixture
def program(server):
    """Start processes of their own on the server, which end with the test."""
    started = []

    def start(code, *arguments):
        command = [sys.executable, "-c", code, server.socket, *arguments]
        started.append(subprocess.Popen(command, cwd=Path(__file__).parents[1]))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


class Held:
    """A computation that lasts until the test says so."""

    def __init__(self, result="done"):
        self.calls = 0
        self.began = threading.Event()
        self.go_on = threading.Event()
        self._result = result

    def __call__(self, *_args):
        self.calls += 1
        self.began.set()
        assert self.go_on.wait(60)
        if isinstance(self._result, BaseException):
            raise self._result
        return self._result

    async def until_begun(self):
        assert await asyncio.to_thread(self.began.wait, 60)


# The scripts


def claim_of(memory, token, lease=30.0):
    return Claim(memory._connection, "agent:entry", lease, token)


def send(memory, script, *arguments):
    return memory._connection._executor.client.eval(script.source, 1, "agent:entry", *arguments)


def test_a_claim_is_made_once_and_kept_by_its_owner(memory, server):
    """A repeat of it, as after a lost reply, finds it made."""
    assert send(memory, scripts.CLAIM, "@a", 1000) == 0
    assert send(memory, scripts.CLAIM, "@a", 2000) == 0
    assert 1000 < server.client.pttl("agent:entry") <= 2000
    left, holder = send(memory, scripts.CLAIM, "@b", 9000)
    assert 1000 < left <= 2000
    assert holder == b"@a"
    assert server.client.get("agent:entry") == b"@a"
    assert send(memory, scripts.KEEP_CLAIM, "@b", 9000) == 0
    assert send(memory, scripts.KEEP_CLAIM, "@b", 0) == 0
    assert send(memory, scripts.FULFIL_CLAIM, "@b", "value", 0) == 0
    assert send(memory, scripts.KEEP_CLAIM, "@a", 9000) == 1
    assert 8000 < server.client.pttl("agent:entry") <= 9000
    assert server.client.get("agent:entry") == b"@a"


def test_a_claim_is_fulfilled_once(memory, server):
    """A repeat does no harm, nor does one that comes late."""
    send(memory, scripts.CLAIM, "@a", 1000)
    assert send(memory, scripts.FULFIL_CLAIM, "@a", "value", 5000) == 1
    assert send(memory, scripts.FULFIL_CLAIM, "@a", "again", 5000) == 0
    assert 4000 < server.client.pttl("agent:entry") <= 5000
    for arguments in (("@a", 1000), ("@b", 1000)):
        assert send(memory, scripts.CLAIM, *arguments) == b"value"
        assert send(memory, scripts.KEEP_CLAIM, *arguments) == 0
    assert send(memory, scripts.KEEP_CLAIM, "@a", 0) == 0
    assert server.client.get("agent:entry") == b"value"
    server.client.delete("agent:entry")
    send(memory, scripts.CLAIM, "@a", 1000)
    send(memory, scripts.FULFIL_CLAIM, "@a", "value", 0)
    assert server.client.pttl("agent:entry") == -1


def test_what_was_cleared_meanwhile_is_not_written_back(memory, server):
    """Nor is a claim that is gone renewed."""
    send(memory, scripts.CLAIM, "@a", 1000)
    server.client.delete("agent:entry")
    assert send(memory, scripts.KEEP_CLAIM, "@a", 1000) == 0
    assert send(memory, scripts.FULFIL_CLAIM, "@a", "value", 0) == 0
    assert server.client.get("agent:entry") is None


def test_a_claim_that_never_expires_is_taken_over(memory, server):
    """It cannot be one of ours; waiting for it would be for ever."""
    server.client.set("agent:entry", "@a")
    assert send(memory, scripts.CLAIM, "@b", 1000) == 0
    assert server.client.get("agent:entry") == b"@b"


# Many callers


async def test_two_hundred_threads_compute_once(cache):
    """One does, and all get what it gave."""
    start = threading.Barrier(200)
    counted = Counted(lambda _: time.sleep(0.3) or "sunny")
    kept = cache.cached(signed(weather, counted))

    def call(_):
        start.wait()
        return kept("Lisbon")

    def call_all():
        with ThreadPoolExecutor(200) as pool:
            return list(pool.map(call, range(200)))

    assert await asyncio.to_thread(call_all) == ["sunny"] * 200
    assert counted.calls == 1


async def test_two_hundred_tasks_compute_once(cache):
    """The same on an event loop."""
    calls = 0

    @cache.cached(name="weather")
    async def forecast(_city):
        nonlocal calls
        calls += 1
        await asyncio.sleep(0.3)
        return "sunny"

    found = await asyncio.gather(*(forecast("Lisbon") for _ in range(200)))
    assert (found, calls) == (["sunny"] * 200, 1)


WORKER = """
import asyncio, sys, time
from concurrent.futures import ThreadPoolExecutor
import redis
from langchain_redis_memory import RedisMemory

socket, way = sys.argv[1:]
counter = redis.Redis(unix_socket_path=socket)
memory = RedisMemory.from_url(f"unix://{socket}")
cache = memory.cache("support")

@cache.cached(name="slow")
def slow(x):
    counter.incr("calls")
    time.sleep(0.5)
    return ["computed", x]

@cache.cached(name="slow")
async def aslow(x):
    counter.incr("calls")
    await asyncio.sleep(0.5)
    return ["computed", x]

async def tasks():
    return await asyncio.gather(*(aslow(1) for _ in range(50)))

memory.ping()
counter.incr("ready")
while counter.get("go") is None:
    time.sleep(0.005)
if way == "threads":
    with ThreadPoolExecutor(50) as pool:
        found = list(pool.map(slow, [1] * 50))
else:
    found = asyncio.run(tasks())
assert found == [["computed", 1]] * 50, found
memory.close()
"""


@pytest.mark.parametrize("ways", [["threads"] * 4, ["tasks"] * 4, ["threads", "tasks"] * 2])
def test_two_hundred_callers_in_four_processes_compute_once(server, program, ways):
    """In threads, in tasks, and in both."""
    workers = [program(WORKER, way) for way in ways]
    wait_until(lambda: server.client.get("ready") == b"4", "all workers are ready")
    server.client.set("go", 1)
    assert [worker.wait(120) for worker in workers] == [0] * 4
    assert server.client.get("calls") == b"1"


async def test_an_expiry_does_not_stampede(cache, server, do):
    """Each time the entry expires one caller computes it again."""
    counted = Counted(lambda _: time.sleep(0.1) or "sunny")
    kept = cache.cached(do.of(signed(weather, counted)))
    for rounds in (1, 2, 3):
        found = await asyncio.gather(*(do(kept, "Lisbon") for _ in range(20)))
        assert (found, counted.calls) == (["sunny"] * 20, rounds)
        server.client.delete(*server.client.keys())


async def test_other_arguments_do_not_wait(cache, do):
    """Each entry has a claim of its own."""
    held = Held()
    kept = cache.cached(do.of(signed(weather, lambda city: held() if city == "Lisbon" else city)))
    first = asyncio.ensure_future(do(kept, "Lisbon"))
    await held.until_begun()
    assert await do(kept, "Porto") == "Porto"
    held.go_on.set()
    assert await first == "done"


# Long computations, and processes that die


async def test_what_lasts_longer_than_the_lease_is_computed_once(cache, server, do):
    """The claim is renewed as long as it lasts, and not longer."""
    held = Held()
    kept = cache.cached(do.of(signed(weather, held)), lease=2, wait=60)
    calls = [asyncio.ensure_future(do(kept, "Lisbon")) for _ in range(3)]
    await held.until_begun()
    await asyncio.sleep(3)
    assert len(claims(server)) == 1
    held.go_on.set()
    assert await asyncio.gather(*calls) == ["done"] * 3
    assert held.calls == 1
    left = server.client.pttl(server.client.keys()[0])
    await asyncio.sleep(1)
    assert 0 < server.client.pttl(server.client.keys()[0]) <= left


async def test_renewing_goes_on_when_redis_was_away_for_a_moment(cache, do, start_server):
    """A failure of one renewal is not the end of them."""
    server = start_server("--appendonly", "yes", "--appendfsync", "always")
    async with RedisMemory.from_url(server.url, retry=QUICK) as memory:
        held = Held()
        kept = memory.cache("support").cached(do.of(signed(weather, held)), lease=4.5)
        first = asyncio.ensure_future(do(kept, "Lisbon"))
        await held.until_begun()
        server.kill()
        await asyncio.sleep(1.8)
        server.start()
        await asyncio.sleep(3.2)
        assert len(claims(server)) == 1
        held.go_on.set()
        assert await first == "done"
        assert claims(server) == []
        assert len(server.client.keys()) == 1


DYING = """
import sys, time
import redis
from langchain_redis_memory import RedisMemory

memory = RedisMemory.from_url(f"unix://{sys.argv[1]}")

def weather(city):
    redis.Redis(unix_socket_path=sys.argv[1]).set("began", 1)
    time.sleep(600)

memory.cache("support").cached(weather, name="weather", lease=2)("Lisbon")
"""


async def test_a_process_that_is_killed_frees_its_claim(cache, server, program, do):
    """After the lease another computes, and waits no longer than that."""
    dying = program(DYING)
    await asyncio.to_thread(wait_until, lambda: server.client.get("began"), "it computes")
    counted = Counted(lambda city: f"sunny in {city}")

    def forecast(city):
        return counted(city)

    kept = cache.cached(do.of(forecast), name="weather", lease=2, wait=60)
    waiting = [asyncio.ensure_future(do(kept, "Lisbon")) for _ in range(5)]
    await asyncio.sleep(0.3)
    assert (counted.calls, len(claims(server))) == (0, 1)
    dying.send_signal(signal.SIGKILL)
    dying.wait()
    assert await asyncio.gather(*waiting) == ["sunny in Lisbon"] * 5
    assert counted.calls == 1


async def test_who_was_overtaken_gives_its_own_result_and_stores_nothing(cache, server, do):
    """As when it was stopped for longer than its lease."""
    held = Held("late")
    kept = cache.cached(do.of(signed(weather, held)))
    first = asyncio.ensure_future(do(kept, "Lisbon"))
    await held.until_begun()
    [name] = claims(server)
    server.client.set(name, '"earlier"')
    held.go_on.set()
    assert await first == "late"
    assert await do(kept, "Lisbon") == "earlier"


async def test_what_is_cleared_while_it_is_computed_is_not_stored(cache, server, do):
    """The next one computes anew, as whoever cleared meant."""
    held = Held("old")
    kept = cache.cached(do.of(signed(weather, held)))
    first = asyncio.ensure_future(do(kept, "Lisbon"))
    await held.until_begun()
    assert await cache.aclear() == 1
    held.go_on.set()
    assert await first == "old"
    assert server.client.keys() == []
    assert await do(kept, "Lisbon") == "old"
    assert held.calls == 2


# Computations that fail


async def test_a_failure_reaches_its_caller_and_the_next_one_computes(cache, server, do):
    """At once; those who waited compute by themselves, and not one after another."""

    def body(_):
        time.sleep(0.4)
        raise ValueError

    kept = cache.cached(do.of(signed(weather, body)))
    began = time.monotonic()
    found = await asyncio.gather(*(do(kept, "Lisbon") for _ in range(16)), return_exceptions=True)
    assert [type(error) for error in found] == [ValueError] * 16
    assert time.monotonic() - began < 4
    assert claims(server) == []


class Rude(BaseException):
    """What is no Exception."""


@pytest.mark.parametrize("error", [ValueError("no"), Rude("no")], ids=repr)
async def test_any_exception_gives_the_claim_up(cache, server, do, error):
    """And passes through as it is."""
    held = Held(error)
    held.go_on.set()
    kept = cache.cached(do.of(signed(weather, held)))
    with pytest.raises(type(error)) as caught:
        await do(kept, "Lisbon")
    assert caught.value is error
    assert server.client.keys() == []


async def test_a_failure_while_redis_is_away_is_still_that_failure(start_server, do):
    """Giving the claim up must not replace it."""
    server = start_server()
    async with RedisMemory.from_url(server.url, retry=QUICK) as memory:

        def body(_):
            server.kill()
            raise ValueError("mine")

        with pytest.raises(ValueError, match="mine"):
            await do(memory.cache("support").cached(do.of(signed(weather, body))), "Lisbon")


class Refused(Exception):  # noqa: N818 - as users name theirs
    """An error with an attribute."""

    def __init__(self, code, text):
        super().__init__(code, text)
        self.code = code

    def __str__(self):
        return f"code {self.code}"


class SorryError(LookupError):
    """A subclass of an error that is asked for."""


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (LookupError("not there"), "not there"),
        (SorryError("Grüße \ud83d\ude42 \ud800"), "Grüße ?? ?"),
        (KeyError("k"), "k"),
        (LookupError(), ""),
        (Refused(7, "x"), "code 7"),
        (OSError(2, "No such file"), "[Errno 2] No such file"),
    ],
    ids=repr,
)
async def test_an_error_is_kept_on_request(cache, server, do, error, message):
    """It is raised again as one of the same class, without being computed again."""

    def fail(*_):
        raise error

    counted = Counted(fail)
    kinds = (LookupError, Refused, OSError)
    kept = cache.cached(do.of(signed(weather, counted)), errors=kinds, error_ttl=5)
    with pytest.raises(type(error)) as caught:
        await do(kept, "Lisbon")
    assert caught.value is error
    for _ in range(2):
        kind = next(kind for kind in kinds if isinstance(error, kind))
        with pytest.raises(kind) as caught:
            await do(kept, "Lisbon")
        assert isinstance(caught.value, CachedError)
        assert (str(caught.value), caught.value.args) == (message, (message,))
        assert caught.value.name == f"{type(error).__module__}.{type(error).__qualname__}"
    assert counted.calls == 1
    assert 4000 < server.client.pttl(server.client.keys()[0]) <= 5000


async def test_other_errors_are_not_kept(cache, server, do):
    """Nor are any without a request."""

    def fail(_):
        raise KeyError

    for options in ({}, {"errors": (ValueError, TypeError)}):
        counted = Counted(fail)
        kept = cache.cached(do.of(signed(weather, counted)), **options)
        for calls in (1, 2):
            with pytest.raises(KeyError):
                await do(kept, "Lisbon")
            assert counted.calls == calls
    assert server.client.keys() == []


async def test_an_error_is_kept_as_long_as_a_result_unless_said_otherwise(cache, server, do):
    """By the time to live of the function."""

    def fail(_):
        raise KeyError

    kept = cache.cached(do.of(signed(weather, fail)), errors=(KeyError,), ttl=100)
    with pytest.raises(KeyError):
        await do(kept, "Lisbon")
    assert 99_000 < server.client.pttl(server.client.keys()[0]) <= 100_000


async def test_waiters_get_the_error_that_is_kept(cache, do):
    """None of them computes."""
    held = Held(KeyError("none"))
    kept = cache.cached(do.of(signed(weather, held)), errors=(KeyError,))
    calls = [asyncio.ensure_future(do(kept, "Lisbon")) for _ in range(5)]
    await held.until_begun()
    held.go_on.set()
    found = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(error, KeyError) for error in found)
    assert sorted(isinstance(error, CachedError) for error in found) == [False, *[True] * 4]
    assert held.calls == 1


def test_errors_without_subclasses_are_refused(memory):
    """When the function is decorated."""

    class Final(Exception):  # noqa: N818 - a name for a test
        __qualname__ = "Final"

        def __init_subclass__(cls, **kwargs):
            raise TypeError

    with pytest.raises(ConfigurationError, match="Final: it allows no subclass"):
        memory.cache("support").cached(weather, errors=(Final,))


# Callers that are cancelled or interrupted


async def test_a_computation_that_is_cancelled_gives_its_claim_up(cache, server):
    """And another one computes at once, on this loop or elsewhere."""
    began = asyncio.Event()

    @cache.cached(name="slow")
    async def slow():
        began.set()
        await asyncio.sleep(600)

    task = asyncio.ensure_future(slow())
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert server.client.keys() == []
    assert cache.cached(lambda: 1, name="slow")() == 1


async def test_a_waiter_that_is_cancelled_leaves_nothing(cache, server):
    """Neither for the one who computes nor for the others."""
    held = Held()
    kept = cache.cached(Async().of(signed(weather, held)))
    first = asyncio.ensure_future(kept("Lisbon"))
    await held.until_begun()
    waiting = [asyncio.ensure_future(kept("Lisbon")) for _ in range(20)]
    for number, task in enumerate(waiting):
        await asyncio.sleep(number / 1000)
        task.cancel()
    done = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(error, asyncio.CancelledError) for error in done)
    assert len(claims(server)) == 1
    held.go_on.set()
    assert await first == "done"
    assert (held.calls, claims(server)) == (1, [])


async def test_cancelling_at_any_moment_leaves_no_claim(cache, server):
    """Before, within and after each request; the next caller need not wait for a lease."""
    dice = random.Random(7)

    @cache.cached(name="quick")
    async def quick(x):
        await asyncio.sleep(0.001)
        return x

    for number in range(300):
        task = asyncio.ensure_future(quick(number))
        await asyncio.sleep(dice.random() * 0.004)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert claims(server) == []


async def test_cancelling_again_and_again_leaves_no_claim(cache, server):
    """What gives the claim up goes on without the caller."""
    began = asyncio.Event()

    @cache.cached(name="slow")
    async def slow():
        began.set()
        await asyncio.sleep(600)

    task = asyncio.ensure_future(slow())
    await began.wait()
    while not task.done():
        task.cancel()
        await asyncio.sleep(0)
    await asyncio.to_thread(wait_until, lambda: not claims(server), "the claim is given up")


@pytest.mark.parametrize("moment", range(20))
def test_a_loop_that_ends_gives_its_claims_up(server, moment):
    """As when a program is interrupted, at whatever its tasks are."""

    async def main():
        memory = RedisMemory.from_url(server.url)

        @memory.cache("support").cached(name="slow")
        async def slow():
            await asyncio.sleep(600)

        await memory.aping()
        tasks = [asyncio.ensure_future(slow()) for _ in range(3)]
        await asyncio.sleep(moment / 5000)
        return tasks

    asyncio.run(main())
    assert claims(server) == []


INTERRUPTED = """
import sys, time
import redis
from langchain_redis_memory import RedisMemory

server = redis.Redis(unix_socket_path=sys.argv[1])
memory = RedisMemory.from_url(f"unix://{sys.argv[1]}")

def weather(city):
    server.set("began", 1)
    time.sleep(600)

try:
    memory.cache("support").cached(weather, name="weather")("Lisbon")
except KeyboardInterrupt:
    sys.exit(7)
"""


@pytest.mark.parametrize("waits", [False, True])
def test_who_is_interrupted_gives_its_claim_up(memory, server, program, waits):
    """While computing, and while waiting for another one."""
    cache = memory.cache("support")
    if waits:
        cache.cached(lambda city: city, name="weather")("Lisbon")
        [name] = server.client.keys()
        server.client.set(name, "@another", px=600_000)
    server.client.config_resetstat()
    process = program(INTERRUPTED)
    if waits:
        wait_until(lambda: asked(server) > 2, "it has asked again")
    else:
        wait_until(lambda: server.client.get("began"), "it computes")
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 7
    assert claims(server) == ([name] if waits else [])


def asked(server):
    """Count the scripts that were run."""
    return server.client.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"]


# Within itself


async def test_a_computation_does_not_wait_for_itself(cache, do):
    """As when a function is decorated twice, or calls itself."""
    counted = Counted(lambda city: f"sunny in {city}")
    body = do.of(signed(weather, counted))
    twice = cache.cached(cache.cached(body))
    assert await do(twice, "Lisbon") == "sunny in Lisbon"
    assert await do(twice, "Lisbon") == "sunny in Lisbon"
    assert counted.calls == 1


async def test_cached_functions_call_each_other(cache, do):
    """Each has its own entry."""
    inner = cache.cached(do.of(lambda x: x + 1), name="inner")

    if isinstance(do, Sync):

        def outer(x):
            return [inner(x), inner(x)]
    else:

        async def outer(x):
            return [await inner(x), await inner(x)]

    assert await do(cache.cached(outer, name="outer"), 1) == [2, 2]
    assert await do(inner, 1) == 2


def test_a_new_thread_in_the_same_context_may_compute(memory):
    """What a computation hands its context to may need the entry, too."""
    cache = memory.cache("support")
    calls = []

    @cache.cached(name="outer")
    def outer():
        calls.append(1)
        if len(calls) > 1:
            return "inner"
        context = contextvars.copy_context()
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(context.run, outer).result()

    assert outer() == outer() == "inner"
    assert len(calls) == 2


# Redis away


async def test_while_redis_is_away_it_is_an_error(start_server, do):
    """Before anything is computed: a stampede would be no help."""
    server = start_server()
    async with RedisMemory.from_url(server.url, retry=QUICK) as memory:
        counted = Counted()
        kept = memory.cache("support").cached(do.of(signed(weather, counted)))
        server.kill()
        with pytest.raises(StorageUnavailable):
            await do(kept, "Lisbon")
        assert counted.calls == 0


async def test_or_the_function_computes_without_a_cache(start_server, do):
    """Every time, and without waiting; the cache is back with Redis."""
    server = start_server()
    options = {"retry": QUICK, "on_unavailable": "stateless", "outage_pause": 0.001}
    async with RedisMemory.from_url(server.url, **options) as memory:
        counted = Counted()
        kept = memory.cache("support").cached(do.of(signed(weather, counted)))
        await do(kept, "Lisbon")
        server.kill()
        for calls in (2, 3):
            assert await do(kept, "Lisbon") == [["Lisbon"], {}]
            assert counted.calls == calls
        server.start()
        await asyncio.to_thread(wait_until, memory.ping, "Redis is back")
        for _ in range(2):
            assert await do(kept, "Porto") == [["Porto"], {}]
        assert counted.calls == 4


async def test_waiters_go_on_without_redis_when_it_goes_away(start_server, do):
    """Each computes for itself."""
    server = start_server()
    options = {"retry": QUICK, "on_unavailable": "stateless"}
    async with RedisMemory.from_url(server.url, **options) as memory:
        held = Held()
        kept = memory.cache("support").cached(do.of(signed(weather, held)))
        calls = [asyncio.ensure_future(do(kept, "Lisbon")) for _ in range(3)]
        await held.until_begun()
        server.kill()
        await asyncio.to_thread(wait_until, lambda: held.calls == 3, "all compute")
        held.go_on.set()
        assert await asyncio.gather(*calls) == ["done"] * 3


async def test_what_was_computed_is_given_also_when_it_cannot_be_stored(start_server, do, caplog):
    """Redis went away meanwhile; the log says that it was not stored, and no more."""
    server = start_server()
    async with RedisMemory.from_url(server.url, retry=QUICK) as memory:

        def body(_):
            server.kill()
            return "a secret"

        kept = memory.cache("support").cached(do.of(signed(weather, body)))
        assert await do(kept, "another secret") == "a secret"
    [record] = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "was not stored" in record.getMessage()
    assert "secret" not in caplog.text


async def test_a_full_server_is_told_before_anything_is_computed(start_server, do):
    """With what it said."""
    server = start_server()
    server.client.config_set("maxmemory", 1)
    async with RedisMemory.from_url(server.url) as memory:
        counted = Counted()
        kept = memory.cache("support").cached(do.of(signed(weather, counted)))
        with pytest.raises(StorageRejected):
            await do(kept, "Lisbon")
        assert counted.calls == 0


async def test_an_entry_of_another_type_is_told(cache, server, do):
    """With its name."""
    counted = Counted()
    kept = cache.cached(do.of(signed(weather, counted)))
    await do(kept, "Lisbon")
    [name] = server.client.keys()
    server.client.delete(name)
    server.client.lpush(name, "x")
    with pytest.raises(StorageRejected, match="another type"):
        await do(kept, "Lisbon")
    assert counted.calls == 1


async def test_nothing_that_is_kept_shows_in_errors_and_names(cache, server, do):
    """Arguments are digests in keys, results nowhere but in values."""
    body = do.of(signed(weather, Counted(lambda _: {"a secret": {1}})))
    kept = cache.cached(body, strict=True)
    with pytest.raises(UnstorableError) as caught:
        await do(kept, "another secret")
    assert "another" not in str(caught.value)
    held = Held("a secret")
    more = cache.cached(do.of(signed(weather, held)))
    first = asyncio.ensure_future(do(more, "another secret"))
    await held.until_begun()
    assert b"secret" not in b"".join(server.client.keys())
    claim = Claim(None, "key", 1, "a secret token")
    assert "secret" not in repr(claim)
    held.go_on.set()
    await first


# Waiting has an end


async def test_who_waited_long_enough_computes_as_well(cache, server, do):
    """And gives its own result; the entry is the first one's to store."""
    held = Held("first")
    results = [held, lambda: "second"]
    kept = cache.cached(do.of(signed(weather, lambda _: results.pop(0)())), wait=0.3)
    first = asyncio.ensure_future(do(kept, "Lisbon"))
    await held.until_begun()
    assert await asyncio.wait_for(do(kept, "Lisbon"), 5) == "second"
    assert len(claims(server)) == 1
    held.go_on.set()
    assert [await first, await do(kept, "Lisbon")] == ["first", "first"]


async def test_two_computations_that_need_each_other_end(cache):
    """Neither waits long for the other."""
    begun = {"a": asyncio.Event(), "b": asyncio.Event()}

    def calling(name, other):
        async def function(nested=False):
            if nested:
                return name
            begun[name].set()
            await begun[other].wait()
            return [name, await kept[other](nested=True)]

        return cache.cached(function, name=name, key=lambda nested: 1)

    kept = {"a": calling("a", "b"), "b": calling("b", "a")}
    found = await asyncio.wait_for(asyncio.gather(kept["a"](), kept["b"]()), 10)
    assert found == [["a", "b"], ["b", "a"]]


async def test_a_sync_call_does_not_stop_the_loop_that_computes(cache):
    """It computes as well."""
    began = asyncio.Event()

    @cache.cached(name="one")
    async def one():
        began.set()
        await asyncio.sleep(0.1)
        return "async"

    task = asyncio.ensure_future(one())
    await began.wait()
    before = time.monotonic()
    assert cache.cached(lambda: "sync", name="one")() == "sync"
    assert time.monotonic() - before < 2
    assert await task == await one() == "async"


async def test_a_task_that_outlives_the_computation_is_not_within_it(cache):
    """It reads what was kept."""
    calls, tasks, over = [], [], asyncio.Event()

    async def later():
        await over.wait()
        return await outer()

    @cache.cached(name="outer")
    async def outer():
        calls.append(1)
        tasks.append(asyncio.ensure_future(later()))
        return len(calls)

    assert await outer() == 1
    over.set()
    assert await tasks[0] == 1
    assert len(calls) == 1


def test_what_is_computed_is_known_by_its_connection(memory, start_server):
    """The same key on another server is another entry."""
    with RedisMemory.from_url(start_server().url) as another:
        inner = another.cache("support").cached(lambda: "inner", name="same")
        outer = memory.cache("support").cached(lambda: [inner(), inner()], name="same")
        before = another.round_trips
        assert outer() == ["inner", "inner"]
        assert another.round_trips - before >= 3
