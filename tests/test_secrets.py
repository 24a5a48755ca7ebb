"""No exception, log record, `repr` or `str` holds a secret, on any topology."""

from __future__ import annotations

import asyncio
import gc
import logging
import traceback
from urllib.parse import quote

import pytest
import redis
import redis.asyncio.sentinel
import redis.sentinel
from langchain_core.messages import AIMessage
from servers import REDIS_SERVER, free_port

from langchain_redis_memory import (
    RedisChatMessageHistory,
    RedisMemory,
    RedisMemoryError,
    RetryPolicy,
    StorageRejected,
    StorageUnavailable,
    TurnNotSavedError,
)
from langchain_redis_memory.storage.connection import Connection
from langchain_redis_memory.storage.executor import translate
from langchain_redis_memory.storage.operation import Operation
from langchain_redis_memory.storage.urls import parse

SECRET = "pa-ss-word-4711"
ODD = f"{SECRET}@:/?#%<> '\""
CONFIG = {"configurable": {"session_id": "s1", "user_id": "alice"}}
QUICK = RetryPolicy(attempts=2, initial=0.001, deadline=1)


def seen(thing, known=None):
    """Give all that can be printed of an exception: itself, its arguments, what led to it."""
    known = set() if known is None else known
    if id(thing) in known:
        return ""
    known.add(id(thing))
    parts = [repr(thing)]
    try:
        parts.append(str(thing))  # of a history, this reads its messages
    except RedisMemoryError as error:
        parts.append(seen(error, known))
    if isinstance(thing, BaseException):
        parts += traceback.format_exception(thing)
        for part in (thing.__cause__, thing.__context__, thing.args, vars(thing)):
            parts.append(seen(part, known))
        parts += getattr(thing, "__notes__", [])
    elif isinstance(thing, dict):
        parts += [seen(value, known) for pair in thing.items() for value in pair]
    elif isinstance(thing, list | tuple | set | frozenset):
        parts += [seen(value, known) for value in thing]
    return "\n".join(parts)


def logged(records):
    """Give all that a handler could write of log records."""
    shown = []
    for record in records:
        shown += [logging.Formatter().format(record), repr(record.__dict__), seen(record.args)]
        shown += [seen(record.exc_info)]
    return "\n".join(shown)


@pytest.fixture
def everything(caplog):
    """Log records of all loggers, from DEBUG on; none of what is logged may be a secret."""
    caplog.set_level(logging.DEBUG)
    loggers = [logging.getLogger(name) for name in list(logging.root.manager.loggerDict)]
    levels = [(logger, logger.level) for logger in loggers]
    for logger, _ in levels:
        logger.setLevel(logging.DEBUG)
    yield caplog
    for logger, level in levels:
        logger.setLevel(level)
    assert SECRET not in logged(caplog.records)
    gc.collect()


def objects(memory):
    """Give everything that a memory hands out or holds, by which it may be looked at."""
    connection = memory._connection
    history = memory.history("support", "alice", "s1")
    return [
        memory,
        memory.address,
        connection,
        connection.server,
        connection.server.address,
        connection.policy,
        connection.availability,
        connection.trips,
        connection._executor,
        getattr(connection.server, "_at", None),
        history,
        history.conversation,
        memory.conversation("support", "alice", "s1"),
        memory.store("files"),
        memory.profile("alice"),
        memory.with_history(echo, agent="support"),
        memory.history_factory("support"),
        memory.history_config,
    ]


def echo(messages):
    return AIMessage("yes")


async def errors_of(memory):
    """Use a memory in every way that fails, and give the errors."""
    history = memory.history("support", "alice", "s1")
    chat = memory.with_history(echo, agent="support")
    store = memory.store("files")

    async def keys():
        return [key async for key in store.ayield_keys()]

    async def stream():
        return [piece async for piece in chat.astream("hello", CONFIG)]

    calls = [
        memory.ping,
        memory.aping,
        lambda: history.messages,
        history.aget_messages,
        lambda: history.add_user_message("hello"),
        lambda: history.aadd_messages([AIMessage("hello")]),
        history.clear,
        history.aclear,
        lambda: chat.invoke("hello", CONFIG),
        lambda: chat.ainvoke("hello", CONFIG),
        lambda: list(chat.stream("hello", CONFIG)),
        stream,
        lambda: list(store.yield_keys()),
        keys,
        lambda: store.mget(["key"]),
        lambda: memory.aget("key"),
    ]
    errors = []
    for call in calls:
        with pytest.raises(RedisMemoryError) as caught:
            await awaited(call)
        errors.append(caught.value)
    return errors


async def awaited(call):
    result = call()
    return await result if asyncio.iscoroutine(result) else result


async def assert_silent(url, kind, retry=QUICK, **options):
    """Let everything fail on a URL, and look at all that is to be seen."""
    async with RedisMemory.from_url(url, retry=retry, **options) as memory:
        errors = await errors_of(memory)
        shown = [seen(thing) for thing in objects(memory)]
    assert all(isinstance(error, kind) for error in errors), errors
    closed = await errors_of(memory)
    shown += [seen(error) for error in [*errors, *closed]]
    shown += [seen(thing) for thing in objects(memory)]
    assert SECRET not in "\n".join(shown)


def forms(hosts="127.0.0.1:1"):
    login = f"me:{quote(ODD, safe='')}"
    sentinel = f"sentinel_username=me&sentinel_password={quote(ODD, safe='')}"
    return {
        "redis": f"redis://{login}@{hosts}/0",
        "rediss": f"rediss://{login}@{hosts}/0",
        "unix": f"unix://{login}@/tmp/no-server-here.sock",
        "redis+sentinel": f"redis+sentinel://{login}@{hosts}/mymaster?{sentinel}",
        "rediss+sentinel": f"rediss+sentinel://{login}@{hosts}/mymaster?{sentinel}",
        "redis+cluster": f"redis+cluster://{login}@{hosts}",
        "rediss+cluster": f"rediss+cluster://{login}@{hosts}",
    }


@pytest.mark.parametrize("form", forms())
async def test_a_refused_connection_shows_no_secret(form, everything):
    """With every way to use a memory, before and after it is closed."""
    await assert_silent(forms(f"127.0.0.1:{free_port()}")[form], StorageUnavailable)


@pytest.mark.parametrize("form", ["redis+sentinel", "redis+cluster"])
async def test_several_hosts_that_refuse_show_no_secret(form, everything):
    """Clients of these gather what each of them said."""
    hosts = ",".join(f"127.0.0.1:{free_port()}" for _ in range(3))
    await assert_silent(forms(hosts)[form], StorageUnavailable)


async def test_a_wrong_password_shows_no_secret(server, everything):
    """On a Unix socket and, in other tests, wherever else."""
    url = f"unix://me:{quote(ODD, safe='')}@{server.socket}"
    await assert_silent(url, StorageRejected)


@pytest.mark.parametrize("where", ["sentinel_servers", "cluster_servers"])
async def test_a_wrong_password_shows_no_secret_behind_several_hosts(where, request, everything):
    """To the primary, and to the nodes."""
    url = request.getfixturevalue(where).url
    await assert_silent(
        url.replace("://", f"://me:{quote(ODD, safe='')}@", 1),
        StorageRejected,
    )


async def test_a_wrong_password_for_the_sentinels_shows_no_secret(sentinel_servers, everything):
    """Alone and with one for the primary."""
    await assert_silent(
        f"{sentinel_servers.url}?sentinel_username=me&sentinel_password={quote(ODD, safe='')}",
        StorageRejected,
    )


@pytest.mark.parametrize("module", [redis.sentinel, redis.asyncio.sentinel])
def test_the_sentinels_that_redis_py_shows_are_left_out(module):
    """Before version 8 it shows their clients with their passwords; the reasons stay."""
    client = f"<redis.client.Redis(password={SECRET},host=a)>"
    error = module.MasterNotFoundError(
        f"No master found for 'm' : {client} - ConnectionError('x'), {client} - TimeoutError()"
    )
    ours = translate(error, Operation("asking", (), list), "sentinel a/m/0")
    assert isinstance(ours, StorageUnavailable)
    assert "No master found for 'm' (ConnectionError, TimeoutError)" in str(ours)
    assert SECRET not in seen(ours) + seen(error)


@pytest.mark.redis_server
@pytest.mark.parametrize("form", ["rediss", "rediss+sentinel", "rediss+cluster"])
async def test_a_failure_of_tls_shows_no_secret(form, tls_server, everything):
    """An unknown authority; of sentinels redis-py 8 tells only that they could not be reached."""
    port = parse(tls_server[0]).nodes[0][1]
    url = forms(f"localhost:{port}")[form]
    kinds = StorageRejected if form != "rediss+sentinel" else (StorageRejected, StorageUnavailable)
    await assert_silent(url, kinds)


@pytest.mark.parametrize("form", ["rediss", "rediss+sentinel", "rediss+cluster"])
async def test_a_server_without_tls_shows_no_secret(form, cluster_servers, everything):
    """What it answers is no handshake."""
    url = forms(f"127.0.0.1:{cluster_servers.nodes[0].port}")[form]
    # It waits for the end of a line, and the client for an answer.
    policy = RetryPolicy(attempts=1, deadline=0.2)
    await assert_silent(url, (StorageUnavailable, StorageRejected), retry=policy)


@pytest.mark.parametrize("form", forms())
def test_what_redis_py_takes_shows_no_secret_when_it_is_wrong(form, everything, tmp_path):
    """Options of a wrong name or value, beside secrets; and secrets under a wrong name."""
    (tmp_path / "file").write_text(SECRET)
    url = forms()[form]
    for options in (
        {"no_such_option": SECRET},
        {"max_connections": "wrong"},
        {"max_connections": -1},
        {"socket_timeout": "wrong"},
        {"ssl_cert_reqs": "wrong"},
        {"retry": SECRET},
        {"password": ODD, "no_such_option": 1},
        {"credential_provider": Provider(), "no_such_option": 1},
        {"ssl_ca_certs": str(tmp_path / "file"), "ssl_password": SECRET},
        {"db": "wrong"},
        {"namespace": "*"},
        {"ttl": -1},
        {"on_unavailable": "ignore"},
    ):
        try:
            memory = RedisMemory.from_url(url, **{"retry": QUICK, **options})
        except (RedisMemoryError, ValueError, TypeError) as error:
            shown = seen(error)
        else:
            shown = "".join(seen(thing) for thing in objects(memory))
            memory.close()
        assert SECRET not in shown, options


class Provider(redis.CredentialProvider):
    """Credentials that are no user's."""

    def get_credentials(self):
        return "me", ODD


@pytest.mark.parametrize("where", ["server", "sentinel_servers", "cluster_servers"])
async def test_a_provider_of_wrong_credentials_shows_no_secret(where, request, everything):
    """Nor does one for the sentinels."""
    url = request.getfixturevalue(where).url
    await assert_silent(url, StorageRejected, credential_provider=Provider())
    if where == "sentinel_servers":
        options = {"sentinel_kwargs": {"credential_provider": Provider()}}
        await assert_silent(url, StorageRejected, **options)


async def test_a_client_that_was_passed_in_shows_no_secret(server, everything):
    """Its address is named, and nothing else of it."""
    options = {"unix_socket_path": server.socket, "username": "me", "password": ODD, "retry": None}
    client, other = redis.Redis(**options), redis.asyncio.Redis(**options)
    memory = RedisMemory(client=client, async_client=other, retry=QUICK)
    errors = await errors_of(memory)
    assert SECRET not in "".join(seen(thing) for thing in [*errors, *objects(memory)])
    await memory.aclose()
    client.close()
    await other.aclose()


async def test_the_drop_in_history_shows_no_secret(server, everything):
    """Its connection is the process's, under its URL."""
    from langchain_redis_memory import history as module

    url = f"unix://me:{quote(ODD, safe='')}@{server.socket}"
    history = RedisChatMessageHistory("s1", url=url)
    shown = [seen(history), seen(history.conversation), seen(history.conversation.connection)]
    for call in (lambda: history.messages, history.clear, lambda: history.add_user_message("x")):
        with pytest.raises(StorageRejected) as caught:
            call()
        shown.append(seen(caught.value))
    with pytest.raises(ValueError, match="URL") as caught:
        RedisChatMessageHistory("s1", url=f"redis://me:1/{ODD}@localhost")
    shown.append(seen(caught.value))
    assert SECRET not in "\n".join(shown)
    module._connections.pop(url).close()


async def test_a_turn_that_was_not_saved_shows_no_secret(start_server, everything):
    """Its error tells the storage's, with what led to that, logged or raised."""
    server = start_server()
    server.client.acl_setuser(
        "me", enabled=True, passwords=[f"+{SECRET}"], keys=["*"], commands=["+@all", "-lpush"]
    )
    async with RedisMemory.from_url(f"unix://me:{SECRET}@{server.socket}") as memory:
        chat = memory.with_history(echo, agent="support")
        for call in (chat.invoke, lambda *a: asyncio.run(chat.ainvoke(*a))):
            with pytest.raises(TurnNotSavedError) as caught:
                await asyncio.to_thread(call, "hello", CONFIG)
            assert SECRET not in seen(caught.value)
        quiet = memory.with_history(echo, agent="support", on_save_error="log")
        quiet.invoke("hello", CONFIG)
        await quiet.ainvoke("hello", CONFIG)


def test_what_is_looked_at_here_would_show_a_secret():
    """The walk finds one in a cause, a context, an argument, an attribute, a note, a record."""
    hidden = [ValueError(SECRET), ValueError(("a", {"b": SECRET}))]
    hidden[0].__context__ = None
    for inner in list(hidden):
        for link in ("__cause__", "__context__", "reply"):
            outer = RedisMemoryError("fine")
            setattr(outer, link, inner)
            hidden.append(outer)
    noted = RedisMemoryError("fine")
    noted.add_note(SECRET)
    assert all(SECRET in seen(error) for error in [*hidden, noted])
    record = logging.LogRecord("x", 10, "x", 1, "fine", (), (ValueError, hidden[0], None))
    assert SECRET in logged([record])
    assert Connection.__repr__ is not object.__repr__
    assert REDIS_SERVER is None or SECRET not in REDIS_SERVER
