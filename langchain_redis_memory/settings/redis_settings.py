"""`RedisSettings`: where the server is, by ``REDIS__...``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from langchain_redis_memory.settings.environment import EnvironmentSettings, setting, variable
from langchain_redis_memory.settings.hosts import host_of, nodes_of
from langchain_redis_memory.settings.places import OPTIONS, place_of, problems_of
from langchain_redis_memory.storage.urls import Address, parse

if TYPE_CHECKING:
    from collections.abc import Mapping

_TEXT, _PATH, _TRUTH = "text", "the path of a file", "true or false"
_SECONDS = "a positive number of seconds, a day at most"


def _usable_url(url: SecretStr) -> SecretStr:
    parse(url.get_secret_value())
    return url


def _usable_nodes(text: str) -> str:
    nodes_of(text, 0)
    return text


_Text = Annotated[str, Field(min_length=1)]
_Nodes = Annotated[str, AfterValidator(_usable_nodes)]
_NODES = "hosts with or without ports, such as host1:7000,host2:7001"
_Seconds = Annotated[float, Field(gt=0, le=24 * 3600)]


class RedisSettings(EnvironmentSettings):
    """Where the server is, by ``REDIS__...``; docs/settings.md tells of each.

    Raises:
        ConfigurationError: Variables cannot be used; it names them all, and shows no value.
    """

    model_config = SettingsConfigDict(env_prefix="REDIS__")
    shows_values: ClassVar[bool] = False
    is_shared: ClassVar[bool] = True
    other_words: ClassVar[dict[str, str]] = {
        "user": "username",
        "pass": "password",
        "auth": "password",
        "database": "db",
        "tls": "ssl",
        "use_ssl": "ssl",
        "use_tls": "ssl",
        "ssl_enabled": "ssl",
        "tls_enabled": "ssl",
        "uri": "url",
        "dsn": "url",
    }

    url: Annotated[SecretStr, AfterValidator(_usable_url)] | None = setting(
        None,
        "where the server is, of any topology ([URLs](operations.md#urls))",
        "a URL",
        shown="",
        example="rediss://redis.example:6379/0",
    )
    host: Annotated[str, AfterValidator(host_of)] = setting(
        "localhost",
        "the server, or a node of the cluster",
        "a host's name or address, without a port",
        example="redis.example",
    )
    port: Annotated[int, Field(ge=1, le=65535)] = setting(
        6379, "the port of that host", "a whole number from 1 to 65535", example="6380"
    )
    username: _Text | None = setting(None, "the user", _TEXT, shown="", example="support")
    password: SecretStr | None = setting(
        None, "the password, as it is", _TEXT, shown="", example="p@ss/w#rd"
    )
    db: Annotated[int, Field(ge=0)] = setting(
        0, "the database", "a whole number from 0 on", example="1"
    )
    socket: _Text | None = setting(
        None, "the server's Unix socket", "a path", shown="", example="/run/redis.sock"
    )
    sentinels: _Nodes | None = setting(
        None,
        "the Sentinels; the port is 26379 unless named",
        _NODES,
        shown="",
        example="host1:26379,host2:26379",
    )
    sentinel_service: _Text | None = setting(
        None, "the name by which they know the primary", _TEXT, shown="", example="mymaster"
    )
    sentinel_username: _Text | None = setting(
        None, "the user of the Sentinels", _TEXT, shown="", example="finder"
    )
    sentinel_password: SecretStr | None = setting(
        None, "the password of the Sentinels, as it is", _TEXT, shown="", example="p@ss/w#rd"
    )
    cluster: bool = setting(False, "whether it is a cluster", _TRUTH, shown="false", example="true")
    nodes: _Nodes | None = setting(
        None,
        "nodes of the cluster; the port is 6379 unless named",
        _NODES,
        shown="",
        example="host1:7000,host2:7001",
    )
    embedded: _Text | None = setting(
        None,
        "the directory of an embedded server, with the extra `embedded`",
        "a path",
        shown="",
        example="./memory",
    )
    ssl: bool = setting(False, "whether to use TLS", _TRUTH, shown="false", example="true")
    ssl_ca_certs: _Text | None = setting(
        None,
        "the authorities to trust, as a file; else those of the system",
        _PATH,
        shown="",
        example="ca.pem",
    )
    ssl_certfile: _Text | None = setting(
        None, "the client's certificate, as a file", _PATH, shown="", example="client.pem"
    )
    ssl_keyfile: _Text | None = setting(
        None, "the key of that certificate, as a file", _PATH, shown="", example="client.key"
    )
    ssl_cert_reqs: Literal["required", "optional", "none"] = setting(
        "required",
        "whether the server's certificate is checked: `required`, `optional`, `none`",
        "required, optional or none",
        example="none",
    )
    ssl_check_hostname: bool = setting(
        True,
        "whether the host in the certificate is checked",
        _TRUTH,
        shown="true",
        example="false",
    )
    max_connections: Annotated[int, Field(ge=1)] = setting(
        10,
        "how many at each server, for all threads and again for each event loop",
        "a whole number of at least 1",
        unit="connections",
        example="20",
    )
    socket_timeout: _Seconds | None = setting(
        None,
        "the longest wait for a reply",
        _SECONDS,
        unit="seconds",
        shown="a fifth of the deadline",
        example="1.5",
    )
    socket_connect_timeout: _Seconds | None = setting(
        None,
        "the longest wait to connect",
        _SECONDS,
        unit="seconds",
        shown="a fifth of the deadline",
        example="1.5",
    )
    health_check_interval: Annotated[int, Field(ge=0)] = setting(
        30,
        "how long a connection may be idle and not be checked before use; 0: never check",
        "a whole number of seconds",
        unit="seconds",
        example="60",
    )
    client_name: Annotated[str, Field(pattern="^[!-~]+$")] | None = setting(
        None,
        "the name of the connections, for `CLIENT LIST`",
        "text without blanks",
        shown="",
        example="support",
    )
    protocol: Annotated[int, Field(ge=2, le=3)] = setting(
        2, "the version of the protocol, RESP", "2 or 3", example="3"
    )

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        prefix = variable(type(self), "")
        if problems := list(problems_of(self.given(), self._place(), prefix)):
            raise ValueError("; ".join(problems))
        return self

    def address(self, more: Mapping[str, Any]) -> Address:
        """Give the address, with options of redis-py's over what was set."""
        found, options = self._place(), self.options()
        if found.topology == "cluster":
            options.pop("db", None)  # it is 0, and redis-py's clients take none
        return replace(found, options={**found.options, **options, **more})

    def options(self) -> dict[str, Any]:
        """Give what was set of the options that redis-py takes."""
        options = {
            name: value.get_secret_value() if isinstance(value, SecretStr) else value
            for name, value in self.given().items()
            if name in OPTIONS
        }
        if self.ssl_cert_reqs == "none":
            options["ssl_check_hostname"] = False  # redis-py 6 fails to see that it follows
        return options

    def _place(self) -> Address:
        match place_of(self.given()):
            case "url" if self.url:
                return parse(self.url.get_secret_value())
            case "sentinels" if self.sentinels:
                nodes, service = nodes_of(self.sentinels, 26379), self.sentinel_service or ""
                return Address("sentinel", nodes, service, self.ssl)
            case "cluster":
                nodes = nodes_of(self.nodes, 6379) if self.nodes else ((self.host, self.port),)
                return Address("cluster", nodes, tls=self.ssl)
            case "socket":
                return Address("standalone", options={"path": self.socket})
            case "embedded":
                return Address("standalone")
        return Address("standalone", ((self.host, self.port),), tls=self.ssl)
