"""Where Redis is, and how clients for it are made: by URL, embedded, or passed in."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, urlsplit

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from langchain_redis_memory.errors import ConfigurationError

if TYPE_CHECKING:
    from langchain_redis_memory.storage.embedded import EmbeddedServer
    from langchain_redis_memory.storage.retry import RetryPolicy

SCHEMES = ("redis", "rediss", "unix")


class Server(Protocol):
    """A server that a `Connection` may use."""

    address: str
    """Where it is, for people: never with a password."""
    owns_clients: bool
    """Whether the clients are ours to close."""
    starts: bool
    """Whether `prepare` has work to do, which may take a moment."""

    def prepare(self) -> None:
        """See to it that the server runs: before first use, and after it could not be reached."""

    def client(self) -> redis.Redis:
        """Make a client for all threads; no I/O."""

    def async_client(self) -> redis.asyncio.Redis:
        """Make a client for one event loop; no I/O."""

    def release(self) -> None:
        """Leave the server, when its last client is closed."""


class UrlServer:
    """A server named by a URL, with clients of our own.

    Args:
        url: ``redis://``, ``rediss://`` (TLS) or ``unix://``. Special characters in the user name
            and password are percent-encoded.
        policy: Its time-outs bound those of the clients.
        options: What redis-py's connections and pools take, over our defaults: 10 connections,
            for which callers wait; time-outs; keepalive; a check of connections idle for 30 s.

    Raises:
        ConfigurationError: The URL or an option cannot be used.
    """

    owns_clients = True
    starts = False

    def __init__(self, url: str, policy: RetryPolicy, options: dict[str, Any]) -> None:
        self.address = _address(url)
        self._url = url
        _refuse_retries(options)
        self._options: dict[str, Any] = {
            "max_connections": 10,
            "timeout": policy.deadline,
            "socket_timeout": policy.attempt_timeout,
            "socket_connect_timeout": policy.attempt_timeout,
            "health_check_interval": 30,
            # RESP2 needs no HELLO, and no CLIENT command that a restricted user lacks.
            "protocol": 2,
            **_no_client_info(),
        }
        if not url.startswith("unix:"):
            self._options["socket_keepalive"] = True
        self._options |= options
        self._check_options()

    def prepare(self) -> None:
        """See `Server.prepare`."""

    def client(self) -> redis.Redis:
        """See `Server.client`."""
        return redis.Redis.from_pool(self._pool())

    def async_client(self) -> redis.asyncio.Redis:
        """See `Server.async_client`."""
        pool = redis.asyncio.BlockingConnectionPool.from_url(
            self._url, retry=AsyncRetry(NoBackoff(), 0), **self._options
        )
        return redis.asyncio.Redis.from_pool(pool)

    def release(self) -> None:
        """See `Server.release`."""

    def _pool(self) -> redis.BlockingConnectionPool:
        return redis.BlockingConnectionPool.from_url(
            self._url, retry=Retry(NoBackoff(), 0), **self._options
        )

    def _check_options(self) -> None:
        try:
            pool = self._pool()
            pool.connection_class(**pool.connection_kwargs)  # connects when it is first used
        except (TypeError, ValueError, redis.RedisError) as error:
            # redis-py's words name the option; they never hold its value.
            raise ConfigurationError(f"the options for {self.address} are wrong: {error}") from None


class EmbeddedUrl(UrlServer):
    """The embedded server in a directory, with clients of our own."""

    starts = True

    def __init__(
        self, embedded: EmbeddedServer, policy: RetryPolicy, options: dict[str, Any]
    ) -> None:
        self._embedded = embedded
        super().__init__("unix://", policy, {**options, "path": embedded.socket_path})
        self.address = f"unix:{embedded.socket_path}"

    def prepare(self) -> None:
        """Start the server if it does not run."""
        self._embedded.ensure_running()

    def release(self) -> None:
        """Leave the server; the last to leave stops it."""
        self._embedded.release()


class GivenClients:
    """Clients that were passed in: they are used as they are, and never closed.

    Args:
        client: For synchronous use.
        async_client: For use on the event loop that it belongs to.
    """

    owns_clients = False
    starts = False

    def __init__(
        self, client: redis.Redis | None, async_client: redis.asyncio.Redis | None
    ) -> None:
        if client is None and async_client is None:
            raise ConfigurationError(
                "name a server: RedisMemory.from_url(...), RedisMemory.embedded(...), or "
                "RedisMemory(client=..., async_client=...)"
            )
        _expect("client", client, redis.Redis)
        _expect("async_client", async_client, redis.asyncio.Redis)
        self._client = client
        self._async_client = async_client
        self.address = _pool_address(client if client is not None else async_client)

    def prepare(self) -> None:
        """See `Server.prepare`."""

    def client(self) -> redis.Redis:
        """Give the client that was passed in."""
        if self._client is None:
            raise ConfigurationError(
                "this memory was made with an async client only; pass client= for synchronous use"
            )
        return self._client

    def async_client(self) -> redis.asyncio.Redis:
        """Give the async client that was passed in."""
        if self._async_client is None:
            raise ConfigurationError(
                "this memory was made with a synchronous client only; pass async_client= for "
                "asynchronous use"
            )
        return self._async_client

    def release(self) -> None:
        """See `Server.release`."""


def _expect(name: str, value: object, kind: type) -> None:
    if value is not None and not isinstance(value, kind):
        raise ConfigurationError(
            f"{name} must be a {kind.__module__.partition('.client')[0]}.Redis, "
            f"not {type(value).__module__}.{type(value).__name__}"
        )


def _pool_address(client: Any) -> str:
    options = client.connection_pool.connection_kwargs
    if "path" in options:
        return f"unix:{options['path']}"
    host, port = options.get("host", "localhost"), options.get("port", 6379)
    return f"{host}:{port}/{options.get('db', 0)}"


def _address(url: object) -> str:
    """Read host, port and database of a URL; errors never quote it, as it may hold a password."""
    if not isinstance(url, str):
        raise ConfigurationError(f"the URL must be a string, not {type(url).__name__}")
    scheme = url.partition("://")[0] if "://" in url else ""
    if scheme not in SCHEMES:
        known = ", ".join(f"{name}://" for name in SCHEMES)
        raise ConfigurationError(
            f"the URL's scheme must be one of {known}"
            + (f", not {scheme!r:.40}" if scheme.isalnum() else "; it has none")
        )
    if scheme == "unix":
        return f"unix:{unquote(urlsplit(url).path)}"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "localhost", parts.port or 6379
        database = int(unquote(parts.path).strip("/") or 0)
    except ValueError:
        raise _odd_url() from None  # the cause quotes what it took for a port: the password
    if parts.fragment or database < 0:
        raise _odd_url()
    return f"{host}:{port}/{database}"


def _odd_url() -> ConfigurationError:
    return ConfigurationError(
        "the URL must have the form redis://user:password@host:port/database, with whole numbers "
        "as port and database, and special characters of the password percent-encoded "
        "(# as %23, / as %2F, ? as %3F, @ as %40)"
    )


def _refuse_retries(options: dict[str, Any]) -> None:
    for name in ("retry_on_error", "retry_on_timeout"):
        if name in options:
            raise ConfigurationError(
                f"{name} is not for redis-py to decide here: its retries would multiply with "
                "ours; pass retry=RetryPolicy(...)"
            )


def _no_client_info() -> dict[str, Any]:
    # CLIENT SETINFO costs two trips at every new connection, and a restricted user may lack it.
    if "driver_info" in inspect.signature(redis.Redis.__init__).parameters:
        return {"driver_info": None}
    return {"lib_name": None, "lib_version": None}
