"""Functions and tools that keep their results: which entry, what is kept, computed once."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import math
import operator
import os
import subprocess
import sys
from collections import Counter as Tally
from collections import OrderedDict, namedtuple
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum, Flag, IntEnum
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from counted import Async, Counted, Sync, everything, signed, weather
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from pydantic import BaseModel, ConfigDict, PrivateAttr, SecretStr, ValidationError

from langchain_redis_memory import (
    ConfigurationError,
    CorruptedDataError,
    UnstorableError,
)
from langchain_redis_memory.caching.fingerprint import UnkeyableError, fingerprint, name_of

PREFIX = b"agent:memory:support:execution_cache:"


@pytest.fixture
def cache(memory_here):
    """The cache of one agent."""
    return memory_here.cache("support")


@pytest.fixture(params=[Sync, Async], ids=["sync", "async"])
def do(request):
    """Makes a function synchronous or asynchronous, and calls it."""
    return request.param()


# Calls and their entries


@pytest.mark.parametrize("form", ["bare", "with brackets", "with options", "passed in"])
async def test_a_function_is_decorated_in_each_way(cache, do, form):
    """It looks as before, is as async as before, and is computed once."""
    counted = Counted()
    body = do.of(signed(weather, counted))
    kept = {
        "bare": lambda: cache.cached(body),
        "with brackets": lambda: cache.cached()(body),
        "with options": lambda: cache.cached(ttl=5)(body),
        "passed in": lambda: cache.cached(body, ttl=5),
    }[form]()
    assert await do(kept, "Lisbon") == [["Lisbon"], {}]
    assert await do(kept, "Lisbon") == [["Lisbon"], {}]
    assert counted.calls == 1
    assert kept.__name__ == "weather"
    assert kept.__doc__ == "Tell the weather."
    assert inspect.signature(kept) == inspect.signature(weather)
    assert inspect.iscoroutinefunction(kept) == isinstance(do, Async)


async def test_a_hit_is_one_round_trip_and_a_miss_two(memory_here, cache, do):
    """Whatever the result is."""
    kept = cache.cached(do.of(signed(weather, Counted(lambda _: None))))
    await do(kept, "warm")
    for _ in range(3):
        before = memory_here.round_trips
        assert await do(kept, "Lisbon") is None
        after_miss = memory_here.round_trips
        assert await do(kept, "Lisbon") is None
        assert (after_miss - before, memory_here.round_trips - after_miss) == (2, 1)
        await cache.aclear()


async def test_calls_with_equal_arguments_share_an_entry(cache, server, do):
    """However they are given, and with defaults filled in."""
    counted = Counted()
    kept = cache.cached(do.of(signed(weather, counted)))
    calls = [
        (("Lisbon",), {}),
        (("Lisbon", "C"), {}),
        ((), {"city": "Lisbon"}),
        ((), {"days": 1, "unit": "C", "city": "Lisbon"}),
    ]
    for args, kwargs in calls:
        await do(kept, *args, **kwargs)
    assert (counted.calls, len(server.client.keys())) == (1, 1)


async def test_calls_with_other_arguments_have_entries_of_their_own(cache, server, do):
    """Also where a name stands twice, among all kinds of arguments."""
    counted = Counted()
    kept = cache.cached(do.of(signed(everything, counted)))
    calls = [
        ((1,), {}),
        ((1, 2), {}),
        ((1, [2]), {}),
        ((1, (2,)), {}),
        ((1, 2, 3), {}),
        ((1,), {"key": 2}),
        ((1,), {"first": 2}),
        ((1,), {"others": {"first": 2}}),
        ((1,), {"args": [2]}),
        ((True,), {}),
        (("1",), {}),
        ((1.0,), {}),
        ((None,), {}),
    ]
    for args, kwargs in [*calls, *calls]:
        assert await do(kept, *args, **kwargs) is not None
    assert (counted.calls, len(server.client.keys())) == (len(calls), len(calls))
    await do(kept, 1, b=1, a=2)
    await do(kept, 1, a=2, b=1)
    assert counted.calls == len(calls) + 1


async def test_wrong_arguments_are_the_functions_own_error(memory_here, cache, do):
    """Nothing is sent for them."""
    kept = cache.cached(do.of(signed(weather, Counted())))
    before = memory_here.round_trips
    for args, kwargs in (((), {}), ((1, 2, 3), {}), ((1,), {"hours": 1})):
        with pytest.raises(TypeError, match="weather: "):
            await do(kept, *args, **kwargs)
    assert memory_here.round_trips == before


def other(city, unit="C", *, days=1):
    """Tell something else."""


async def test_functions_agents_names_and_versions_are_told_apart(memory_here, cache, do):
    """Each computes for itself; a name makes two functions one."""
    counted = Counted()
    mine, others = do.of(signed(weather, counted)), do.of(signed(other, counted))
    kept = [
        cache.cached(mine),
        cache.cached(others),
        cache.cached(mine, version=1),
        cache.cached(mine, version="1"),
        cache.cached(mine, name="weather"),
        cache.cached(mine, errors=(ValueError,)),
        memory_here.cache("sales").cached(mine),
    ]
    for function in [*kept, *kept]:
        await do(function, "Lisbon")
    assert counted.calls == len(kept)
    await do(cache.cached(others, name="weather"), "Lisbon")
    assert counted.calls == len(kept)


def test_sync_and_async_functions_of_one_name_share_entries(memory):
    """A twin need not compute what its sync method has computed."""
    cache = memory.cache("support")
    assert cache.cached(lambda x: [x], name="twins")(1) == [1]

    async def twin(x):
        raise AssertionError

    assert asyncio.run(cache.cached(twin, name="twins")(1)) == [1]


def closure(data):
    return lambda x: [data, x]


LOCAL = {
    "closure": closure("of alice"),
    "partial": partial(operator.add, 1),
    "object": type("Callable", (), {"__call__": lambda self, x: x})(),
}


@pytest.mark.parametrize("name", LOCAL)
def test_functions_without_a_name_of_their_own_need_one(memory, name):
    """The same function over the data of another user would share entries."""
    cache, function = memory.cache("support"), LOCAL[name]
    with pytest.raises(ConfigurationError, match="pass name="):
        cache.cached(function)
    kept = cache.cached(function, name=name)
    assert kept(2) == kept(2) == function(2)


def of_user(user):
    @functools.wraps(weather)
    def function(city):
        return [user, city]

    return function


def of_default(user):
    @functools.wraps(weather)
    def function(*args, _user=user, **_):
        return [_user, *args]

    return function


def test_a_name_that_was_copied_is_no_name(memory):
    """What a wrapper uses besides the function that it wraps may be another user's."""
    cache = memory.cache("support")
    for function in (of_user("alice"), functools.lru_cache(of_user("alice"))):
        with pytest.raises(ConfigurationError, match="pass name="):
            cache.cached(function)
        with pytest.raises(ConfigurationError, match="pass name="):
            cache.cached(wrapped(function))
    for user in ("alice", "bob"):
        assert cache.cached(of_user(user), name=user)("Lisbon") == [user, "Lisbon"]
        assert cache.cached(of_default(user))("Lisbon") == [user, "Lisbon"]
    assert cache.cached(wrapped(Service.of_nothing))(1) == [1]


async def test_a_result_that_cannot_be_stored_is_given(cache, server, do, caplog):
    """The log says so once, and the claim is given up."""
    counted = Counted(lambda _: {1, 2})
    kept = cache.cached(do.of(signed(weather, counted)))
    for calls in (1, 2):
        assert await do(kept, "Lisbon") == {1, 2}
        assert (counted.calls, server.client.keys()) == (calls, [])
    [record] = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "the result of weather" in record.getMessage()


def test_local_functions_are_told_apart_by_their_code(memory):
    """When they use no variables of the function around them."""
    cache = memory.cache("support")

    def make(number):
        if number == 1:
            return lambda x: x + 1
        if number == 2:
            return lambda x: x - 1

        def function(x):
            return [y for y in [x, ..., 1j] if y not in {..., "a"} and y not in (1j, ...)]

        return function

    for _ in range(2):
        assert [cache.cached(make(number))(5) for number in (1, 2, 3)] == [6, 4, [5]]
    assert cache.clear() == 3
    constants = [lambda: "a", lambda: "b", lambda: math.pi, lambda: math.e, lambda: [lambda: 1]]
    assert len({str(name_of(one)) for one in constants}) == len(constants)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"ttl": 0}, "ttl"),
        ({"ttl": True}, "ttl"),
        ({"error_ttl": -1}, "ttl"),
        ({"ignore": "city"}, "ignore must"),
        ({"ignore": (1,)}, "ignore must"),
        ({"ignore": None}, "ignore must"),
        ({"ignore": ("town",)}, "'town', which is no argument of weather"),
        ({"key": "city"}, "key must"),
        ({"name": ""}, "name must"),
        ({"name": 1}, "name must"),
        ({"version": 1.5}, "version must"),
        ({"version": True}, "version must"),
        ({"errors": ValueError}, "errors must"),
        ({"errors": (KeyboardInterrupt,)}, "errors must"),
        ({"errors": ("ValueError",)}, "errors must"),
        ({"errors": (type("Local", (Exception,), {"__qualname__": "<locals>.x"}),)}, "errors="),
        ({"lease": 0}, "lease must"),
        ({"lease": True}, "lease must"),
        ({"lease": math.nan}, "lease must"),
        ({"lease": 1e9}, "lease must"),
        ({"wait": -1}, "wait must"),
        ({"strict": 1}, "strict must"),
        ({"error_ttl": 5}, "error_ttl must be given together with errors="),
        ({"errors": (ValidationError,)}, "ValidationError: it allows no subclass"),
    ],
    ids=repr,
)
def test_options_that_cannot_be_are_refused(memory, options, named):
    """When the function is decorated."""
    with pytest.raises(ConfigurationError, match=named):
        memory.cache("support").cached(weather, **options)


def generator():
    yield 1


async def agenerator():
    yield 1


@pytest.mark.parametrize(
    "thing", [generator, agenerator, staticmethod(weather), classmethod(weather), 1, "f", None]
)
def test_what_is_no_function_is_refused(memory, thing):
    """Or gives what cannot be kept."""
    with pytest.raises(ConfigurationError, match="cannot be cached"):
        memory.cache("support").cached()(thing)


def test_an_option_that_is_none_is_a_type_error(memory):
    """As of any function."""
    with pytest.raises(TypeError, match="tll"):
        memory.cache("support").cached(weather, tll=5)


# Which arguments count


async def test_ignored_arguments_do_not_count(cache, do):
    """And reach the function; also those among any others."""
    counted = Counted(lambda *args, **kwargs: None)
    kept = cache.cached(do.of(signed(weather, counted)), ignore=["unit"])
    await do(kept, "Lisbon", "C")
    await do(kept, "Lisbon", object())
    await do(kept, unit=object(), city="Lisbon")
    assert counted.calls == 1
    more = cache.cached(do.of(signed(everything, counted)), ignore=("trace", "key"))
    await do(more, 1, trace=object(), key=object(), real=1)
    await do(more, 1, real=1)
    assert counted.calls == 2
    await do(more, 1, real=2)
    assert counted.calls == 3


async def test_a_key_says_what_counts(cache, do):
    """Of the arguments that are not ignored, as the function names them, with its defaults."""
    counted = Counted(lambda *args, **kwargs: None)
    body = do.of(signed(weather, counted))
    kept = cache.cached(body, key=lambda city, unit, days: (city.lower(), days), ignore=())
    await do(kept, "Lisbon", object())
    await do(kept, "LISBON", days=1)
    await do(kept, unit=object(), city="lisbon")
    assert counted.calls == 1
    await do(kept, "Lisbon", days=2)
    assert counted.calls == 2
    some = cache.cached(body, key=lambda city, days: city, ignore=("unit",))
    await do(some, "Lisbon", object(), days=5)
    await do(some, "Lisbon")
    assert counted.calls == 3
    all_of_them = cache.cached(body)
    await do(all_of_them, "Lisbon")
    assert counted.calls == 4


class OwnZone(tzinfo):
    """A zone that does what it likes."""

    def utcoffset(self, moment):
        return timedelta(0)


class Opaque:
    """Something of which no key can be made."""

    def __repr__(self):
        return "a secret"


class Plain(BaseModel):
    """A model that takes anything."""

    model_config = ConfigDict(arbitrary_types_allowed=True)
    value: Any = None


def endless():
    items = []
    items.append(items)
    return items


@pytest.mark.parametrize(
    "value",
    [
        Opaque(),
        [{"a": Opaque()}],
        {Opaque(): 1},
        Plain(value=Opaque()),
        SecretStr("a secret"),
        bytearray(b"a secret"),
        weather,
        lambda: "a secret",
        iter(["a secret"]),
        endless(),
        datetime(2026, 1, 1, tzinfo=OwnZone()),
        type("Local", (), {"__qualname__": "f.<locals>.Local"}),
        functools.partial(print, "a secret"),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_arguments_that_cannot_be_keyed_are_refused(memory_here, cache, do, value):
    """With the argument's name and what to do; nothing is computed or sent, nothing is quoted."""
    counted = Counted()
    kept = cache.cached(do.of(signed(weather, counted)))
    before = memory_here.round_trips
    with pytest.raises(ConfigurationError, match=r"'city'.*ignore=.*key=") as caught:
        await do(kept, value)
    assert "secret" not in str(caught.value)
    assert (counted.calls, memory_here.round_trips) == (0, before)
    with pytest.raises(ConfigurationError, match="key= gave"):
        await do(cache.cached(do.of(signed(weather, counted)), key=lambda *_, **__: value), 1)
    await do(cache.cached(do.of(signed(weather, Counted(lambda _: 1))), ignore=("city",)), value)


@dataclass(frozen=True)
class Settings:
    """What a service is made of."""

    region: str
    tags: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)


def wrapped(function):
    @functools.wraps(function)
    def wrapper(*args):
        return function(*args)

    return wrapper


class Service(Settings):
    """Something with methods."""

    def fetch(self, x):
        return [self.region, x]

    @wrapped
    def wrapped(self, x):
        return [self.region, x]

    @classmethod
    def of_class(cls, x):
        return [cls.__name__, x]

    @staticmethod
    def of_nothing(x):
        return [x]


class OtherService(Service):
    """Something with the same methods."""


class Bare:
    """Something without a key."""

    def fetch(self, x):
        return [x]


def test_a_method_counts_with_what_it_is_bound_to(memory):
    """Two services do not share their results, unless they are equal."""
    cache = memory.cache("support")
    north, south = Service("north"), Service("south")
    assert cache.cached(north.fetch)(1) == ["north", 1]
    assert cache.cached(south.fetch)(1) == ["south", 1]
    assert cache.cached(OtherService("north").of_class)(1) == ["OtherService", 1]
    assert cache.cached(Service.of_class)(1) == ["Service", 1]
    assert cache.cached(north.of_nothing)(1) == [1]

    def logs(fetch):
        @functools.wraps(fetch)
        def logged(x):
            return [*fetch(x), "logged"]

        return logged

    assert cache.cached(logs(south.fetch))(2) == ["south", 2, "logged"]
    assert cache.cached(logs(north.fetch))(2) == ["north", 2, "logged"]
    assert cache.cached(logs(Service("south").fetch))(2) == ["south", 2, "logged"]
    assert cache.cached(north.wrapped)(1) == ["north", 1]
    assert cache.cached(south.wrapped)(1) == ["south", 1]
    assert cache.cached(north.fetch)(2) == ["north", 2]
    with pytest.raises(ConfigurationError, match="pass name="):
        cache.cached(Bare().fetch)
    assert cache.cached(Bare().fetch, name="bare")(1) == [1]


def test_what_a_method_is_bound_to_may_change(memory):
    """And counts as it is at the call."""
    cache = memory.cache("support")
    service = Service("north", notes=["one"])
    kept = cache.cached(service.fetch)
    assert kept(1) == ["north", 1]
    object.__setattr__(service, "region", "south")
    assert kept(1) == ["south", 1]
    service.notes.append("two")
    before = memory.round_trips
    kept(1)
    assert memory.round_trips - before == 2


def test_a_decorated_method_takes_self_as_an_argument(memory):
    """Which counts, or is ignored."""
    cache = memory.cache("support")
    counted = Counted(lambda self, x: [x])
    fetch = cache.cached(signed(Service.fetch, counted))
    holders = [type("Holder", (Settings,), {"__qualname__": "Holder", "fetch": fetch})]
    north, again, south = (holders[0](region) for region in ("north", "north", "south"))
    for holder in (north, again, south):
        assert holder.fetch(1) == [1]
    assert counted.calls == 2
    with pytest.raises(ConfigurationError, match=r"'self'.*ignore=\('self',\)"):
        fetch(Opaque(), 1)
    free = cache.cached(signed(Service.fetch, counted), ignore=("self",))
    assert free(Opaque(), 1) == free(Opaque(), 1) == [1]
    assert counted.calls == 3


def test_builtin_functions_have_names(memory):
    """And modules that they are not bound to."""
    cache = memory.cache("support")
    assert cache.cached(math.sqrt)(4) == 2
    assert cache.cached("a b".split)() == ["a", "b"]
    assert cache.cached("c d".split)() == ["c", "d"]
    with pytest.raises(ConfigurationError, match=r"arguments of .* cannot be known"):
        cache.cached(dict)


HERE = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
PROGRAM = """
import sys
from langchain_redis_memory.caching.fingerprint import name_of
def function(): pass
print(name_of(function))
import multiprocessing
if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.apply(name_of, [function]))
"""


def test_two_programs_with_a_function_of_one_name_are_told_apart(tmp_path):
    """By their files; the processes that a program starts are the program."""
    run = partial(subprocess.run, capture_output=True, text=True, check=True, env=HERE)
    for name in ("one.py", "two.py"):
        (tmp_path / name).write_text(PROGRAM)
        done = run([sys.executable, tmp_path / name])
        assert set(done.stdout.split("\n")) == {f"['__main__ {name}', 'function']", ""}
    done = run([sys.executable, "-m", "one"], cwd=tmp_path)
    assert set(done.stdout.split("\n")) == {"['one', 'function']", ""}


AT_A_PROMPT = """
import sys
from langchain_redis_memory.caching.fingerprint import name_of
def function(): return 1
first = name_of(function)
def function(): return 2
second = name_of(function)
assert first[:2] == second[:2] == ["__main__ ", "function"], first
assert first != second
def function(): return 1
assert name_of(function) == first
"""


def test_what_is_typed_again_at_a_prompt_is_another_function():
    """A notebook gives results of the function as it is now."""
    subprocess.run([sys.executable, "-c", AT_A_PROMPT], check=True, env=HERE)


# Fingerprints


class Colour(Enum):
    RED = 1
    GREEN = "1"


class Level(IntEnum):
    RED = 1


class Mode(Flag):
    READ = 1
    WRITE = 2


class Model(BaseModel):
    model_config = ConfigDict(extra="allow")
    x: Any = None
    _private: Any = PrivateAttr(None)


class SameFields(BaseModel):
    x: Any = None


Point = namedtuple("Point", "x y")  # noqa: PYI024 - what users have
Text = type("Text", (str,), {"__slots__": ()})


def with_private(value):
    model = Model(x=1)
    model._private = value
    return model


AT = datetime(2026, 10, 25, 1, 30)  # noqa: DTZ001 - without a zone, too
DISTINCT = [
    *(None, True, False, 0, 1, -1, 2**70, -(2**70), 0.0, -0.0, 1.0, math.nan, math.inf, 1e300),
    *("", "1", "None", "\ud83d\ude42", "🙂", "\ud83d", b"", b"1", Text("1")),
    *([], [1], [1, 1], [[1], 1], [[1, 1]], ["1"], (), (1,), ((),), set(), {1}, frozenset({1})),
    *({}, {1: 1}, {"1": 1}, {1: "1"}, {"a": {"b": 1}}, {"a": "b"}, [("a", "b")], {("a", "b")}),
    *(Colour.RED, Colour.GREEN, Level.RED, Mode.READ, Mode.READ | Mode.WRITE, Mode(0)),
    *(date(2026, 10, 25), datetime(2026, 10, 25), time(1), time(1, tzinfo=UTC)),  # noqa: DTZ001
    *(AT, AT.replace(fold=1), AT.replace(tzinfo=UTC)),
    *(AT.replace(tzinfo=ZoneInfo(name)) for name in ("UTC", "Europe/Lisbon", "Europe/London")),
    AT.replace(tzinfo=timezone(timedelta(hours=1))),
    AT.replace(tzinfo=timezone(timedelta(hours=1), "mine")),
    *(timedelta(1), timedelta(0, 1), timedelta(microseconds=1)),
    *(UUID(int=1), Decimal(1), Decimal("1.0"), Decimal("NaN"), 1.5, Decimal("1.5")),
    *(Settings("a"), Settings("b"), Service("a"), Settings, Service, int, str),
    *(Model(), Model(x=1), Model(x=1, y=2), Model(x=[1]), SameFields(x=1), with_private(1)),
    *(Point(1, 2), (1, 2), [1, 2], 1j, -1j, ..., slice(1), slice(None, 1, 2), slice(0, 1)),
    *(HumanMessage("a"), HumanMessage("a", id="1"), AIMessage("a"), AIMessageChunk("a")),
    AIMessage("a", tool_calls=[{"name": "a", "args": {}, "id": "1"}]),
    Document("a"),
    Document("a", metadata={"a": 1}),
]


def test_different_values_have_different_fingerprints():
    """In any order of digits, quotes and brackets."""
    prints = [fingerprint(value) for value in DISTINCT]
    assert len(set(prints)) == len(DISTINCT)
    assert len({fingerprint("a", "b"), fingerprint("ab"), fingerprint(("a", "b"))}) == 3


def test_equal_values_have_equal_fingerprints():
    """Whatever the order of what has no order, in this process and in others."""
    assert fingerprint({"a": 1, "b": [2]}) == fingerprint({"b": [2], "a": 1})
    assert fingerprint(set("abcdefgh")) == fingerprint(set("hgfedcba"))
    assert fingerprint(Settings("a", ("b",))) == fingerprint(Settings("a", ("b",)))
    assert fingerprint(Model(y=1, x=2)) == fingerprint(Model(x=2, y=1))
    assert fingerprint({"a": [1, None, 2.5, "ü"]}, b"x").startswith("5a177c68bfcd")


@dataclass
class Derived:
    """One with an attribute that is no field."""

    region: str

    def __post_init__(self):
        self.user = object()


class WithAttributes(str):  # noqa: SLOT000 - it is to have attributes
    """A text with something besides."""


def test_what_is_more_than_its_value_has_no_fingerprint():
    """Since what else there is might count."""
    plain, more = WithAttributes("a"), WithAttributes("a")
    more.language = "en"
    assert fingerprint(plain) != fingerprint("a")
    with pytest.raises(UnkeyableError, match="WithAttributes"):
        fingerprint(more)
    with pytest.raises(UnkeyableError, match="attributes that are no fields"):
        fingerprint(Derived("eu"))


KEYABLE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.dates()
    | st.datetimes()
    | st.sampled_from([*Colour, *Level, 0, 1, "", "0", "1", b"1", 1.0]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=2) | st.integers(0, 2), inner, max_size=3)
    ),
    max_leaves=6,
)


def strict(value):
    """Give what two values share if and only if they are equal and of equal types."""
    kind = type(value)
    if kind in (list, tuple):
        return kind, tuple(map(strict, value))
    if kind is dict:
        return kind, frozenset((strict(key), strict(item)) for key, item in value.items())
    if isinstance(value, BaseModel):
        return kind, strict(value.__dict__)
    return kind, repr(value)


@settings(max_examples=400)
@given(KEYABLE, KEYABLE)
def test_fingerprints_are_injective(one, two):
    """Two values share one if and only if they are the same."""
    assert (fingerprint(one) == fingerprint(two)) == (strict(one) == strict(two))
    assert fingerprint([one, two]) == fingerprint([one, two])
    assert (fingerprint(one, two) == fingerprint(two, one)) == (strict(one) == strict(two))


# Results


RESULTS = [
    *(None, True, 0, 2**80, 0.1, math.nan, -math.inf, "", "Grüße 🙂\n", "\ud800", [], {}),
    *((), (1,), ("text", [1, (2,)]), [(), {"a": ()}]),
    *({"!tuple": [1]}, {"!dict": {"!dict": 1}}, {"!": 1}, {"!error": [0, "a", "b"]}),
    {"!message": 0, "a": 1},
    AIMessage(
        "hi",
        id="1",
        tool_calls=[{"name": "a", "args": {"x": 2**70}, "id": "1"}],
        usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
        response_metadata={"nan": math.nan},
    ),
    ToolMessage("x", tool_call_id="1", artifact={"rows": [1]}, status="error"),
    [HumanMessage("a\nb"), {"b": AIMessageChunk("c\n")}],
    ("found", [Document("a\n", metadata={"page": 1}, id="1"), Document("")]),
]


@pytest.mark.parametrize("result", RESULTS, ids=repr)
async def test_results_come_back_as_they_were(cache, do, result):
    """Of the same types, too."""
    counted = Counted(lambda: result)
    kept = cache.cached(do.of(counted), name="any")
    first, second = await do(kept), await do(kept)
    assert first is result
    assert strict(second) == strict(result)
    assert counted.calls == 1


STORABLE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.builds(HumanMessage, st.text())
    | st.builds(Document, st.text(), metadata=st.dictionaries(st.text(), st.integers())),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3) | st.just("!tuple"), inner, max_size=2)
    ),
    max_leaves=8,
)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STORABLE)
def test_any_result_comes_back_as_it_was(memory, result):
    """Of what JSON, tuples, messages and documents can be put together to."""
    cache = memory.cache("property")
    cache.clear()
    results = [result]
    kept = cache.cached(results.pop, name="any", ignore=())
    assert strict(kept()) == strict(kept()) == strict(result)


Command = type("Command", (), {})


@pytest.mark.parametrize(
    ("result", "place"),
    [
        (b"bytes", ""),
        ([1, {"rows": {1, 2}}], r"\[1\]\['rows'\]"),
        ({"a": (1, object())}, r"\['a'\]\[1\]"),
        ({1: 2}, ""),
        (Point(1, 2), ""),
        (Settings("a"), ""),
        (Plain(value=1), ""),
        (Command(), ""),
        *((Level.RED, ""), (OrderedDict(a=1), ""), ([Text("a")], r"\[0\]"), (Tally("a"), "")),
        ({Text("a"): 1}, r"\['a'\]"),
        (AIMessage("a", additional_kwargs={"x": b"y"}), r"\.additional_kwargs\['x'\]"),
        ([Document("a", metadata={"x": {1}})], r"\[0\].metadata\['x'\]"),
        (type("MyMessage", (HumanMessage,), {})("a"), ""),
        ("\ud83d\ude42", ""),
        (endless(), r"\[0\]\[0\]"),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_results_that_cannot_be_stored_are_refused(cache, server, do, result, place):
    """It says so at the first call, with the place; the claim is given up."""
    counted = Counted(lambda _: result)
    kept = cache.cached(do.of(signed(weather, counted)), strict=True)
    for calls in (1, 2):
        with pytest.raises(UnstorableError, match=f"^the result of weather{place}"):
            await do(kept, "Lisbon")
        assert counted.calls == calls
        assert server.client.keys() == []


@pytest.mark.parametrize(
    "damage",
    [
        *(b"", b"{", b"\xff", b'{"!message": 0}', b'{"!message": 0}\n{"type": "secret"}'),
        *(b'{"!unknown": "secret"}', b'{"!document": {}}', b'{"!error": [7]}', b'{"!tuple": 1}'),
        b'{"!generation": {"type": "secret"}}',
        b'{"!generation": []}',
        b"[" * 100_000,
    ],
    ids=lambda damage: damage[:30],
)
async def test_damaged_entries_are_told(cache, server, do, damage):
    """With the key, and without what is there; once it is removed all goes on."""
    kept = cache.cached(do.of(signed(weather, Counted(lambda _: 1))))
    await do(kept, "Lisbon")
    [name] = server.client.keys()
    server.client.set(name, damage)
    with pytest.raises(CorruptedDataError) as caught:
        await do(kept, "Lisbon")
    assert (caught.value.key, caught.value.position) == (name.decode(), None)
    assert "secret" not in str(caught.value) + repr(caught.value.__context__)
    assert await cache.aclear() == 1
    assert await do(kept, "Lisbon") == 1


@pytest.mark.parametrize(
    ("of_cache", "given", "expected"),
    [
        ({}, {}, 3_600_000),
        ({"ttl": 100}, {}, 100_000),
        ({"ttl": 100}, {"ttl": None}, -1),
        ({"ttl": None}, {"ttl": 0.5}, 500),
    ],
)
def test_results_live_as_long_as_was_said(memory, server, of_cache, given, expected):
    """By the cache or by the function."""
    memory.cache("support", **of_cache).cached(signed(weather, Counted()), **given)(1)
    left = server.client.pttl(server.client.keys()[0])
    assert left == expected or expected - 400 < left <= expected
