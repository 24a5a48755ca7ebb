"""Settings from the environment: what each variable becomes, and what is told of wrong ones."""

from __future__ import annotations

import logging
import os
import re
import string
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from langchain_core.messages.utils import count_tokens_approximately
from pydantic_settings import SettingsConfigDict
from test_secrets import seen

from langchain_redis_memory import (
    ConfigurationError,
    MemorySettings,
    RedisMemory,
    RedisSettings,
    RetryPolicy,
    Window,
)
from langchain_redis_memory.settings.environment import fields_of, variable

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"
SECRET = "pa-ss-word-4711"
ODD = f"{SECRET}@:/?#%<> '\"$"
HOUR, DAY = 3600, 24 * 3600
PREFIXES = ("redis__", "memory__", "chat_redis__")
PROPERTY = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


def clear():
    """Forget all variables of ours, whatever the machine has set."""
    for name in [name for name in os.environ if name.lower().startswith(PREFIXES)]:
        del os.environ[name]


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch, tmp_path):
    """No variable, no file."""
    before = dict(os.environ)
    clear()
    monkeypatch.chdir(tmp_path)
    yield
    clear()
    os.environ.update(before)


def made(variables, *objects, **options):
    """Make a memory of variables, and tell what has become of them."""
    clear()
    os.environ.update(variables)
    memory = RedisMemory.from_settings(*objects, **options)
    connection, at = memory._connection, memory._connection.server._at
    memory.close()
    return {
        **connection.server._options,
        "address": memory.address,
        "topology": at.topology,
        "nodes": at.nodes,
        "service": at.service,
        "tls": at.tls,
        "namespace": memory._keys.namespace,
        "ttl": memory._limits.ttl,
        "profile_ttl": memory._profile_ttl,
        "window": memory._limits.window,
        "max_messages": memory._limits.max_messages,
        "retry": connection.policy,
        "stateless": connection._stateless,
        "pause": connection.availability._pause,
    }


def refused(variables, *objects, **options):
    """Give the error of variables that cannot be used."""
    clear()
    os.environ.update(variables)
    with pytest.raises(ConfigurationError) as caught:
        RedisMemory.from_settings(*objects, **options)
    return caught.value


# Each variable

SENTINEL = {"REDIS__SENTINELS": "a", "REDIS__SENTINEL_SERVICE": "main"}
TLS = {"REDIS__SSL": "true"}
STATELESS = {"MEMORY__ON_UNAVAILABLE": "stateless"}
CASES = [
    ("REDIS__URL", "rediss://me:p%40@h:1/2", {}, {"address": "h:1/2", "tls": True}),
    ("REDIS__URL", "redis://me:p%40@h", {}, {"username": "me", "password": "p@"}),
    ("REDIS__URL", "redis+cluster://a:1,b", {}, {"address": "cluster a:1,b:6379"}),
    ("REDIS__URL", "redis://h?socket_keepalive=no", {}, {"socket_keepalive": False}),
    ("REDIS__HOST", "h.example", {}, {"address": "h.example:6379/0"}),
    ("REDIS__HOST", "::1", {}, {"address": "[::1]:6379/0", "nodes": (("::1", 6379),)}),
    ("REDIS__HOST", "[::1]", {}, {"nodes": (("::1", 6379),)}),
    ("REDIS__PORT", "6380", {}, {"address": "localhost:6380/0"}),
    ("REDIS__USERNAME", "me:@/", {}, {"username": "me:@/"}),
    ("REDIS__PASSWORD", ODD, {}, {"password": ODD}),
    ("REDIS__PASSWORD", ODD, {"REDIS__URL": "redis://me@h"}, {"password": ODD, "username": "me"}),
    ("REDIS__PASSWORD", "none", {}, {"password": "none"}),
    ("REDIS__PASSWORD", " x ", {}, {"password": " x "}),
    ("REDIS__DB", "3", {}, {"address": "localhost:6379/3", "db": 3}),
    ("REDIS__DB", "3", {"REDIS__URL": "redis://h"}, {"address": "h:6379/3", "db": 3}),
    ("REDIS__SOCKET", "/a b/s", {}, {"address": "unix:///a b/s", "path": "/a b/s"}),
    (
        *("REDIS__SENTINELS", "a, [::1]:2,c:3", {"REDIS__SENTINEL_SERVICE": "m"}),
        {"topology": "sentinel", "nodes": (("a", 26379), ("::1", 2), ("c", 3)), "tls": False},
    ),
    ("REDIS__SENTINEL_SERVICE", "my/ma", {"REDIS__SENTINELS": "a"}, {"service": "my/ma"}),
    ("REDIS__SENTINEL_USERNAME", "me", SENTINEL, {"sentinel_username": "me"}),
    ("REDIS__SENTINEL_PASSWORD", ODD, SENTINEL, {"sentinel_password": ODD}),
    (
        *("REDIS__SENTINEL_PASSWORD", ODD, {"REDIS__URL": "redis+sentinel://a/m"}),
        {"sentinel_password": ODD, "service": "m"},
    ),
    ("REDIS__CLUSTER", "true", {}, {"topology": "cluster", "nodes": (("localhost", 6379),)}),
    ("REDIS__CLUSTER", "yes", {"REDIS__HOST": "h", **TLS}, {"nodes": (("h", 6379),), "tls": True}),
    ("REDIS__CLUSTER", "false", {"REDIS__PORT": "1"}, {"topology": "standalone"}),
    ("REDIS__NODES", "a:1,b", {"REDIS__CLUSTER": "1"}, {"nodes": (("a", 1), ("b", 6379))}),
    ("REDIS__EMBEDDED", "./here", {}, {"address": "unix://{here}/here/server.sock"}),
    ("REDIS__SSL", "true", {}, {"tls": True}),
    ("REDIS__SSL", "false", {"REDIS__URL": "redis://h"}, {"tls": False}),
    ("REDIS__SSL_CA_CERTS", "ca.pem", TLS, {"ssl_ca_certs": "ca.pem"}),
    ("REDIS__SSL_CA_CERTS", "c", {"REDIS__URL": "rediss://h"}, {"ssl_ca_certs": "c"}),
    ("REDIS__SSL_CERTFILE", "c.pem", TLS, {"ssl_certfile": "c.pem"}),
    ("REDIS__SSL_KEYFILE", "c.key", TLS, {"ssl_keyfile": "c.key"}),
    (
        *("REDIS__SSL_CERT_REQS", "none", TLS),
        {"ssl_cert_reqs": "none", "ssl_check_hostname": False},
    ),
    ("REDIS__SSL_CERT_REQS", "optional", TLS, {"ssl_cert_reqs": "optional"}),
    ("REDIS__SSL_CHECK_HOSTNAME", "no", TLS, {"ssl_check_hostname": False}),
    ("REDIS__MAX_CONNECTIONS", "7", {}, {"max_connections": 7}),
    ("REDIS__SOCKET_TIMEOUT", "0.5", {}, {"socket_timeout": 0.5}),
    ("REDIS__SOCKET_CONNECT_TIMEOUT", "0.5", {}, {"socket_connect_timeout": 0.5}),
    ("REDIS__HEALTH_CHECK_INTERVAL", "0", {}, {"health_check_interval": 0}),
    ("REDIS__CLIENT_NAME", "chat", {}, {"client_name": "chat"}),
    ("REDIS__PROTOCOL", "3", {}, {"protocol": 3}),
    ("redis__port", "1", {}, {"address": "localhost:1/0"}),
    ("MEMORY__NAMESPACE", "acme:eu", {}, {"namespace": "acme:eu"}),
    ("MEMORY__THREAD_TTL_HOURS", "0.5", {}, {"ttl": 1800}),
    ("MEMORY__THREAD_TTL_HOURS", "none", {}, {"ttl": None}),
    ("MEMORY__THREAD_TTL_HOURS", "878400", {}, {"ttl": 878400 * HOUR}),
    ("MEMORY__USER_TTL_DAYS", "365", {}, {"profile_ttl": 365 * DAY}),
    ("MEMORY__USER_TTL_DAYS", "None", {}, {"profile_ttl": None}),
    ("MEMORY__MAX_THREAD_MESSAGES", "500", {}, {"max_messages": 500}),
    ("MEMORY__WINDOW", "20", {}, {"window": 20}),
    ("MEMORY__WINDOW", "none", {}, {"window": None}),
    (
        *("MEMORY__WINDOW_TOKENS", "4000", {}),
        {"window": Window(tokens=4000, counter=count_tokens_approximately)},
    ),
    (
        *("MEMORY__WINDOW_TOKENS", "4000", {"MEMORY__WINDOW": "20"}),
        {"window": Window(messages=20, tokens=4000, counter=count_tokens_approximately)},
    ),
    ("MEMORY__ON_UNAVAILABLE", "stateless", {}, {"stateless": True, "pause": 5}),
    ("MEMORY__OUTAGE_PAUSE", "10", STATELESS, {"stateless": True, "pause": 10}),
    ("MEMORY__RETRY__ATTEMPTS", "5", {}, {"retry": RetryPolicy(attempts=5)}),
    ("MEMORY__RETRY__INITIAL", "0.1", {}, {"retry": RetryPolicy(initial=0.1)}),
    ("MEMORY__RETRY__MAXIMUM", "2", {}, {"retry": RetryPolicy(maximum=2)}),
    (
        *("MEMORY__RETRY__DEADLINE", "3", {"MEMORY__RETRY__ATTEMPTS": "4"}),
        {"retry": RetryPolicy(deadline=3, attempts=4), "timeout": 3},
    ),
]


@pytest.mark.parametrize(("name", "value", "others", "expected"), CASES)
def test_each_variable_becomes_what_it_says(name, value, others, expected):
    """From the environment to the server and the options of a memory."""
    found = made({name: value, **others})
    here = os.path.realpath(".")  # where sockets are
    told = {k: v.replace("{here}", here) if isinstance(v, str) else v for k, v in expected.items()}
    assert {key: found[key] for key in expected} == told


def documented():
    """Read the table: by variable, its meaning, unit, default and example."""
    rows = re.findall(r"^\| `(\w+__\w+)` \|(.*)\|$", PAGE.read_text(), re.MULTILINE)
    return {name: [cell.strip() for cell in rest.split(" | ")] for name, rest in rows}


def test_every_documented_variable_is_tested():
    """And no other."""
    assert {name.upper() for name, *_ in CASES} == set(documented())


def test_the_table_tells_what_the_settings_are():
    """Meaning, unit, default and example of each, in the same order."""
    described = {
        variable(kind, name): [
            field.description,
            field.json_schema_extra["unit"],
            field.json_schema_extra["default"],
            f"`{field.examples[0]}`",
        ]
        for kind in (RedisSettings, MemorySettings)
        for name, field in fields_of(kind)
    }
    assert documented() == described
    assert list(documented()) == list(described)


NEEDS = {
    "REDIS__SENTINEL": SENTINEL,
    "REDIS__SSL_": TLS,
    "REDIS__NODES": {"REDIS__CLUSTER": "true"},
    "MEMORY__OUTAGE_PAUSE": STATELESS,
}


@pytest.mark.parametrize("name", documented())
def test_every_example_is_a_value(name):
    """And another one than the default."""
    example = documented()[name][3].strip("`")
    others = next((others for start, others in NEEDS.items() if name.startswith(start)), {})
    assert made({**others, name: example}) != made(others)


def test_the_defaults_are_those_of_the_table():
    """And of `RedisMemory`."""
    assert RedisMemory.from_settings().address == RedisMemory.from_url("redis://").address
    ours = made({})
    clear()
    with RedisMemory.from_url("redis://localhost") as memory:
        assert ours["ttl"] == memory._limits.ttl
        assert ours["retry"] == memory._connection.policy
        assert ours["max_connections"] == memory._connection.server._options["max_connections"]
    assert (ours["profile_ttl"], ours["window"], ours["max_messages"]) == (None, None, None)
    assert (ours["stateless"], ours["namespace"]) == (False, "agent")
    texts = {name: cells[2] for name, cells in documented().items()}
    for name, text in texts.items():
        if text and name not in {"REDIS__SOCKET_TIMEOUT", "REDIS__SOCKET_CONNECT_TIMEOUT"}:
            others = TLS if name.startswith("REDIS__SSL_") else {}
            assert made({name: text, **others}) == {**made(others)} | options_of(name, text)


def options_of(name, text):
    """Give what is passed to redis-py only when it is said."""
    option = name.removeprefix("REDIS__").lower()
    said = {"db": 0, "ssl_cert_reqs": "required", "ssl_check_hostname": True}
    return {option: said[option]} if option in said else {}


# Wrong values

WRONG = [
    *[("REDIS__URL", url) for url in ("localhost", "http://h", "redis://h:x", "redis://h/a")],
    *[("REDIS__HOST", h) for h in ("h:6380", "redis://h", "a b", "a,b", "me@h", "h/1", ":::", " ")],
    *[("REDIS__PORT", port) for port in ("abc", "0", "65536", "-1", "1.5", "tcp://10.0.0.1:1")],
    *[("REDIS__DB", db) for db in ("-1", "first", "0.5")],
    *[
        ("REDIS__SENTINELS", n)
        for n in ("a,", ",", "a:0", "a:x", "a:99999", "redis://a", "::1", "[a")
    ],
    *[("REDIS__NODES", nodes) for nodes in ("a;b", "me:pw@a:1", "a:1 b:2")],
    *[(f"REDIS__{name}", "maybe") for name in ("CLUSTER", "SSL", "SSL_CHECK_HOSTNAME")],
    ("REDIS__SSL_CERT_REQS", "some"),
    ("REDIS__CLIENT_NAME", "a b"),
    *[("REDIS__PROTOCOL", protocol) for protocol in ("1", "4", "RESP3")],
    *[("REDIS__MAX_CONNECTIONS", number) for number in ("0", "-1", "many", "1.5")],
    ("REDIS__HEALTH_CHECK_INTERVAL", "-1"),
    *[
        (f"REDIS__{name}", value)
        for name in ("SOCKET_TIMEOUT", "SOCKET_CONNECT_TIMEOUT")
        for value in ("0", "-1", "inf", "nan", "1e30", "soon")
    ],
    *[("MEMORY__NAMESPACE", name) for name in ("a*", "a b", ":", "a:memory", "a" * 257)],
    *[
        (f"MEMORY__{name}", value)
        for name in ("THREAD_TTL_HOURS", "USER_TTL_DAYS")
        for value in ("abc", "0", "-1", "inf", "nan", "1e9", "1e-9", "never", "7d")
    ],
    *[
        (f"MEMORY__{name}", value)
        for name in ("MAX_THREAD_MESSAGES", "WINDOW", "WINDOW_TOKENS")
        for value in ("0", "-1", "1.5", "all", "tokens:4000")
    ],
    *[("MEMORY__ON_UNAVAILABLE", value) for value in ("ignore", "raise", "none")],
    *[("MEMORY__OUTAGE_PAUSE", value) for value in ("0", "-1", "inf", "nan", "none")],
    *[("MEMORY__RETRY__ATTEMPTS", value) for value in ("0", "1.5", "x", "none")],
    *[
        (f"MEMORY__RETRY__{name}", value)
        for name in ("INITIAL", "MAXIMUM", "DEADLINE")
        for value in ("0", "-1", "inf", "nan", "x")
    ],
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_value_names_its_variable(name, value):
    """And says what it must be; what it is, where that cannot be a password."""
    error = refused({name: value})
    assert str(error).startswith((f"{name} must be ", f"{name}: "))
    assert error.__cause__ is error.__context__ is None
    if name.startswith("MEMORY__") and len(value) < 80:
        assert repr(value) in str(error)


def test_the_words_of_an_error():
    """As the documentation shows them."""
    assert str(refused({"MEMORY__THREAD_TTL_HOURS": "abc"})) == (
        "MEMORY__THREAD_TTL_HOURS must be a positive number of hours (100 years at most), or none "
        "for never, not 'abc'"
    )
    assert str(refused({"REDIS__HOST": "me:secret@h"})) == (
        "REDIS__HOST must be a host's name or address, without a port"
    )


def test_all_that_is_wrong_is_told_at_once():
    """Of both kinds of settings, from the environment and from the file."""
    Path(".env").write_text("REDIS__DB=first\nMEMORY__WINDOW=-1\nMEMORY__WINDO=3\n")
    error = str(refused({"REDIS__PORT": "x", "MEMORY__RETRY__DEADLINE": "0", "REDIS__HOTS": "h"}))
    names = re.findall(r"(?:^|; |no )([A-Z_]+)", error)
    assert sorted(names) == [
        *("MEMORY__RETRY__DEADLINE", "MEMORY__WINDO", "MEMORY__WINDOW"),
        *("REDIS__DB", "REDIS__HOTS", "REDIS__PORT"),
    ]


# What cannot stand together

TOGETHER = [
    ({"URL": "redis://h", "HOST": "h"}, "HOST cannot stand beside REDIS__URL"),
    ({"URL": "redis://h", "PORT": "1"}, "PORT cannot stand beside REDIS__URL"),
    ({"URL": "redis://h", "CLUSTER": "true"}, "CLUSTER cannot stand beside REDIS__URL"),
    ({"URL": "redis://h", "SENTINELS": "a"}, "SENTINELS cannot stand beside REDIS__URL"),
    ({"URL": "redis://h", "EMBEDDED": "a"}, "EMBEDDED cannot stand beside REDIS__URL"),
    ({"URL": "redis://h", "SOCKET": "a"}, "SOCKET cannot stand beside REDIS__URL"),
    ({"URL": "redis://:p@h", "PASSWORD": "p"}, "PASSWORD cannot stand beside REDIS__URL, which"),
    ({"URL": "redis://u@h", "USERNAME": "p"}, "USERNAME cannot stand beside REDIS__URL, which"),
    ({"URL": "redis://h/1", "DB": "1"}, "DB cannot stand beside REDIS__URL, which says it too"),
    ({"URL": "redis://h?client_name=a", "CLIENT_NAME": "a"}, "CLIENT_NAME cannot stand beside"),
    ({"URL": "redis://h", "SSL": "true"}, "SSL contradicts REDIS__URL"),
    ({"URL": "rediss://h", "SSL": "false"}, "SSL contradicts REDIS__URL"),
    ({"URL": "redis://h", "SSL_CA_CERTS": "a"}, "SSL_CA_CERTS needs a rediss:// URL"),
    ({"URL": "redis+cluster://h", "DB": "1"}, "DB must be 0 in a cluster"),
    ({"URL": "redis://h", "SENTINEL_PASSWORD": "a"}, "SENTINEL_PASSWORD needs a REDIS__URL of S"),
    ({"HOST": "h", "SOCKET": "/s"}, "HOST cannot stand beside REDIS__SOCKET"),
    ({"SOCKET": "/s", "SSL": "true"}, "SSL cannot stand beside REDIS__SOCKET"),
    ({"SOCKET": "/s", "CLUSTER": "true"}, "CLUSTER cannot stand beside REDIS__SOCKET"),
    ({"EMBEDDED": "./m", "PASSWORD": "x"}, "PASSWORD cannot stand beside REDIS__EMBEDDED"),
    ({"EMBEDDED": "./m", "HOST": "x"}, "HOST cannot stand beside REDIS__EMBEDDED"),
    ({"SENTINELS": "a"}, "SENTINELS needs REDIS__SENTINEL_SERVICE"),
    (
        {"SENTINELS": "a", "SENTINEL_SERVICE": "m", "CLUSTER": "true"},
        "CLUSTER cannot stand beside REDIS__SENTINELS",
    ),
    (
        {"SENTINELS": "a", "SENTINEL_SERVICE": "m", "HOST": "h"},
        "HOST cannot stand beside REDIS__SENTINELS",
    ),
    ({"SENTINEL_SERVICE": "m"}, "SENTINEL_SERVICE needs REDIS__SENTINELS"),
    ({"SENTINEL_PASSWORD": "m"}, "SENTINEL_PASSWORD needs REDIS__SENTINELS"),
    ({"NODES": "a"}, "NODES needs REDIS__CLUSTER=true"),
    ({"NODES": "a", "CLUSTER": "false"}, "NODES needs REDIS__CLUSTER=true"),
    ({"CLUSTER": "true", "NODES": "a", "HOST": "h"}, "HOST cannot stand beside REDIS__NODES"),
    ({"CLUSTER": "true", "NODES": "a", "PORT": "1"}, "PORT cannot stand beside REDIS__NODES"),
    ({"CLUSTER": "true", "DB": "1"}, "DB must be 0 in a cluster"),
    ({"SSL_CA_CERTS": "a"}, "SSL_CA_CERTS needs REDIS__SSL=true"),
    ({"SSL_CERT_REQS": "none", "SSL": "false"}, "SSL_CERT_REQS needs REDIS__SSL=true"),
    (
        {"SSL": "true", "SSL_CERT_REQS": "none", "SSL_CHECK_HOSTNAME": "true"},
        "SSL_CHECK_HOSTNAME needs REDIS__SSL_CERT_REQS=required",
    ),
    ({"SSL_CHECK_HOSTNAME": "false"}, "SSL_CHECK_HOSTNAME needs REDIS__SSL=true"),
]


@pytest.mark.parametrize(("given", "words"), TOGETHER)
def test_what_cannot_stand_together_is_named(given, words):
    """Otherwise one of the two would be passed over without a word."""
    error = refused({f"REDIS__{name}": value for name, value in given.items()})
    assert str(error).startswith(f"REDIS__{words}")


def test_what_agrees_may_stand_together():
    """What is switched off, and what the URL leaves open."""
    made({"REDIS__URL": "rediss://h", "REDIS__SSL": "true", "REDIS__CLUSTER": "false"})
    made({"REDIS__SOCKET": "/s", "REDIS__SSL": "false"})
    made({"REDIS__CLUSTER": "true", "REDIS__DB": "0"})
    found = made({"REDIS__EMBEDDED": "./m", "REDIS__DB": "2", "REDIS__MAX_CONNECTIONS": "3"})
    assert (found["db"], found["max_connections"]) == (2, 3)


# Variables that there are not


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("MEMORY__THREAD_TTL", "MEMORY__THREAD_TTL_HOURS"),
        ("MEMORY__RETRY_DEADLINE", "MEMORY__RETRY__DEADLINE"),
        ("MEMORY__RETRY__DEADLINES", "MEMORY__RETRY__DEADLINE"),
        ("memory__windows", "MEMORY__WINDOW"),
        ("REDIS__PASSWROD", "REDIS__PASSWORD"),
        ("REDIS__SENTINEL", "REDIS__SENTINELS"),
        ("REDIS__USER", "REDIS__USERNAME"),
        ("REDIS__DATABASE", "REDIS__DB"),
        ("REDIS__TLS", "REDIS__SSL"),
        ("REDIS__USE_SSL", "REDIS__SSL"),
        ("REDIS__TLS_ENABLED", "REDIS__SSL"),
        ("REDIS__AUTH", "REDIS__PASSWORD"),
    ],
)
def test_a_slip_of_the_pen_is_told_with_what_was_meant(name, meant):
    """Its value is not shown."""
    text = str(refused({name: SECRET}))
    assert text == f"there is no {name.upper()} (did you mean {meant}?)"


@pytest.mark.parametrize("name", ["MEMORY__X", "MEMORY__RETRY"])
def test_one_that_resembles_none_is_told_with_all_there_are(name):
    """Also beside those that it begins like."""
    text = str(refused({name: "5", "MEMORY__RETRY__DEADLINE": "3"}))
    assert text.startswith(f"there is no {name} (there are MEMORY__NAMESPACE, ")
    assert "MEMORY__RETRY__MAXIMUM" in text


def test_variables_of_other_programs_are_left_alone(caplog):
    """With a word in the log, without the value; also those of the file, of any prefix."""
    caplog.set_level(logging.INFO, "langchain_redis_memory")
    Path(".env").write_text(f"OPENAI_API_KEY={SECRET}\nREDISHOST=x\nREDIS_PORT=y\nMEMORY=z\n")
    expected = made({})
    assert made({"REDIS__QUEUE": SECRET, "REDIS__TIMEOUT": "5", "MEMORY": "1"}) == expected
    assert "REDIS__QUEUE" in caplog.text
    assert SECRET not in caplog.text


def test_a_slip_in_code_is_told_like_one_in_the_environment():
    """As a keyword of the class."""
    with pytest.raises(ConfigurationError, match=r"no REDIS__PASWORD \(did you mean REDIS__PASSW"):
        RedisSettings(pasword=SECRET)
    with pytest.raises(ConfigurationError, match="no MEMORY__RETRY__DEADLIN"):
        MemorySettings(retry={"deadlin": 3})


# The file


def test_the_file_is_read_and_the_environment_wins():
    """Variable by variable, within the retries too."""
    Path(".env").write_text(
        f"# mine\nexport REDIS__HOST=file\nREDIS__PORT=1\nREDIS__PASSWORD='{SECRET}#\"@ x'\n"
        "MEMORY__RETRY__DEADLINE=3\nMEMORY__RETRY__ATTEMPTS=4\nMEMORY__NAMESPACE=file\n"
    )
    found = made({"REDIS__PORT": "2", "MEMORY__RETRY__DEADLINE": "5"})
    assert found["address"] == "file:2/0"
    assert found["password"] == f'{SECRET}#"@ x'
    assert found["retry"] == RetryPolicy(deadline=5, attempts=4)
    assert found["namespace"] == "file"


def test_the_file_may_begin_as_editors_on_windows_write_it():
    """With a byte order mark, and lines that end in two characters."""
    Path(".env").write_bytes("\ufeffREDIS__HOST=file\r\nREDIS__PORT=1\r\n".encode())
    assert made({})["address"] == "file:1/0"


def test_an_empty_variable_is_not_set():
    """In the environment, where the file then counts, and in the file."""
    Path(".env").write_text("REDIS__HOST=file\nREDIS__PASSWORD=\nMEMORY__WINDOW=\n")
    names = [name for name in documented() if name != "REDIS__HOST"]
    found = made({"REDIS__HOST": "", "MEMORY__UNKNOWN": "", **dict.fromkeys(names, "")})
    assert found == {**made({}), "address": "file:6379/0"}
    assert "password" not in found


@pytest.mark.parametrize("kind", [RedisSettings, MemorySettings])
def test_a_file_that_cannot_be_read_is_told(kind):
    """Without a word of what stands in it."""
    Path(".env").write_bytes(f"REDIS__PASSWORD={SECRET}\xff".encode("latin-1"))
    with pytest.raises(ConfigurationError, match="file of settings cannot be read: it is not UTF"):
        kind()
    unreadable = Path("unreadable.env")
    unreadable.touch(mode=0)
    if os.access(unreadable, os.R_OK):  # root reads anything
        unreadable = Path("/proc/self/mem")
    with pytest.raises(ConfigurationError, match="file of settings cannot be read") as caught:
        kind(_env_file=unreadable)
    assert SECRET not in seen(caught.value)
    Path(".env").unlink()
    Path(".env").mkdir()
    kind()


def test_other_files_may_be_named():
    """One for production; a directory of secrets, as Docker makes it."""
    Path("prod.env").write_text("REDIS__HOST=prod\nREDIS__PASSWROD=x\n")
    with pytest.raises(ConfigurationError, match="did you mean REDIS__PASSWORD"):
        RedisSettings(_env_file="prod.env")
    Path("prod.env").write_text("REDIS__HOST=prod\n")
    Path("secrets").mkdir()
    Path("secrets/redis__password").write_text(f"{ODD}\n")
    place = RedisSettings(_env_file="prod.env", _secrets_dir="secrets")
    found = made({}, place)
    assert (found["address"], found["password"]) == ("prod:6379/0", ODD)


def test_a_directory_may_hold_a_file_for_each_variable():
    """Of any variable; the environment wins, what is not ours is left alone, and slips are told."""
    secrets = Path("secrets")
    secrets.mkdir()
    values = {"memory__retry__deadline": "3", "MEMORY__WINDOW": "20", "memory__namespace": ""}
    for name, value in {**values, "openai_api_key": SECRET}.items():
        (secrets / name).write_text(f"{value}\n")
    os.environ["MEMORY__RETRY__ATTEMPTS"] = "4"
    found = MemorySettings(_secrets_dir=secrets)
    assert (found.retry.policy(), found.window) == (RetryPolicy(deadline=3, attempts=4), 20)
    assert found.namespace == "agent"
    os.environ["MEMORY__WINDOW"] = "30"
    Path("more").mkdir()
    Path("more/memory__retry__deadline").write_text("5")
    found = MemorySettings(_secrets_dir=(secrets, "more"))
    assert (found.retry.deadline, found.window) == (5, 30)
    (secrets / "memory__windows").write_text(SECRET)
    with pytest.raises(ConfigurationError, match=r"did you mean MEMORY__WINDOW\?") as caught:
        MemorySettings(_secrets_dir=secrets)
    assert SECRET not in seen(caught.value)


@pytest.mark.parametrize("absent", ["absent", "a_file"])
def test_a_directory_of_secrets_that_is_none_is_told(absent):
    """Otherwise the password would be missing without a word."""
    Path("a_file").touch()
    with pytest.raises(ConfigurationError, match=f"settings cannot be read: .*: '{absent}'"):
        RedisSettings(_secrets_dir=absent)


def test_a_field_of_a_subclass_is_told_by_name():
    """Whatever form it has there."""

    class Mine(MemorySettings):
        window: int | None = 50

    assert Mine().window == 50
    os.environ["MEMORY__WINDOW"] = "abc"
    with pytest.raises(ConfigurationError, match="MEMORY__WINDOW must be of another form, not 'a"):
        Mine()


class ChatRedis(RedisSettings):
    """Variables of another prefix."""

    model_config = SettingsConfigDict(env_prefix="CHAT_REDIS__")


def test_another_prefix_is_a_subclass():
    """Its errors name its variables."""
    os.environ |= {"CHAT_REDIS__HOST": "chat", "REDIS__HOST": "other", "REDIS__PORT": "x"}
    assert ChatRedis().host == "chat"
    for name, value, words in (
        ("PORT", "x", "CHAT_REDIS__PORT must be"),
        ("USER", "x", "no CHAT_REDIS__USER .did you mean CHAT_REDIS__USERNAME"),
        ("NODES", "x", "CHAT_REDIS__NODES needs CHAT_REDIS__CLUSTER=true"),
    ):
        os.environ[f"CHAT_REDIS__{name}"] = value
        with pytest.raises(ConfigurationError, match=words):
            ChatRedis()
        del os.environ[f"CHAT_REDIS__{name}"]


# In code


def test_objects_and_keywords_take_precedence():
    """Keywords over objects, objects over the environment, which says the rest."""
    environment = {"REDIS__HOST": "env", "REDIS__DB": "1", "MEMORY__WINDOW": "3"}
    os.environ |= environment
    objects = (RedisSettings(host="given", password="given"), MemorySettings(namespace="given"))
    found = made(environment, *objects)
    assert (found["address"], found["namespace"], found["window"]) == ("given:6379/1", "given", 3)
    found = made(
        environment,
        *objects,
        db=2,
        password="keyword",
        socket_read_size=9,
        namespace="keyword",
        window=Window(messages=5),
        retry=RetryPolicy(deadline=1),
        profile_ttl=5,
    )
    assert (found["address"], found["password"]) == ("given:6379/2", "keyword")
    assert (found["namespace"], found["window"]) == ("keyword", Window(messages=5))
    assert (found["socket_read_size"], found["profile_ttl"], found["timeout"]) == (9, 5, 1)
    found = made({"REDIS__EMBEDDED": "./m", "REDIS__DB": "2"}, db=3, max_connections=4)
    assert (found["db"], found["max_connections"]) == (3, 4)


@pytest.mark.parametrize(
    ("objects", "options", "words"),
    [
        (("redis://h",), {}, "redis must be RedisSettings"),
        ((None, {"window": 3}), {}, "memory must be MemorySettings"),
        ((MemorySettings,), {}, "redis must be RedisSettings"),
        ((), {"namespace": "*"}, "namespace"),
        ((), {"retry": 3}, "retry must be"),
        ((), {"ttl": "1"}, "ttl must be"),
        ((), {"no_such_option": 1}, "no_such_option"),
        ((), {"retry_on_timeout": True}, "retry_on_timeout is not for redis-py"),
    ],
)
def test_wrong_arguments_are_refused(objects, options, words):
    """As of the other ways to make a memory."""
    assert words in str(refused({}, *objects, **options))


def test_settings_cannot_be_changed():
    """And the error does not show what was tried."""
    place = RedisSettings()
    with pytest.raises(AttributeError, match="make a new one") as caught:
        place.password = SECRET
    assert SECRET not in seen(caught.value)


def test_all_forms_of_a_subclass_of_memory():
    """What is made is of the class that was asked."""

    class Mine(RedisMemory):
        pass

    assert type(Mine.from_settings()) is Mine
    assert type(Mine.from_settings(RedisSettings(embedded="./m"))) is Mine


# No secret


def test_nothing_shows_a_secret(caplog):
    """Not the settings, the memory, what it holds."""
    caplog.set_level(logging.DEBUG)
    for place in (
        RedisSettings(password=ODD),
        RedisSettings(url=f"redis://:{SECRET}@h"),
        RedisSettings(sentinels="a", sentinel_service="m", sentinel_password=ODD),
    ):
        with RedisMemory.from_settings(place) as memory:
            things = [place, memory, memory._connection.server, memory._connection.server._at]
            shown = "".join(f"{thing!r}{thing!s}" for thing in things) + place.model_dump_json()
        assert SECRET not in shown
    assert SECRET not in caplog.text


LEAKS = [
    *("REDIS__URL", "REDIS__HOST", "REDIS__PORT", "REDIS__DB", "REDIS__SENTINELS", "REDIS__NODES"),
    *("REDIS__SSL", "REDIS__CLUSTER", "REDIS__PROTOCOL", "REDIS__SSL_CERT_REQS"),
    *("REDIS__MAX_CONNECTIONS", "REDIS__SOCKET_TIMEOUT", "REDIS__CLIENT_NAME"),
]


@PROPERTY
@given(st.sampled_from(LEAKS), st.text(string.punctuation + " ", max_size=6), st.booleans())
@example("REDIS__URL", "redis://me:1/", False)
@example("REDIS__HOST", "me:x@", False)
def test_no_error_shows_a_secret(name, odd, beside):
    """Whether it stands in its own place, in a wrong one, or beside what is wrong."""
    clear()
    os.environ[name] = f"{odd}{SECRET} {SECRET}{odd}"
    if beside:
        os.environ |= {"REDIS__PASSWORD": ODD, "REDIS__SENTINEL_PASSWORD": ODD, "REDIS__X": ODD}
    with pytest.raises(ConfigurationError) as caught:
        RedisMemory.from_settings()
    assert name in str(caught.value)
    assert SECRET not in seen(caught.value)


# Any value

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30)
NUMBER = st.integers(1, 10**6)
SECONDS = st.floats(0.001, DAY)
HOST = st.from_regex(r"[a-z][a-z0-9_.-]{0,20}", fullmatch=True)
PORT = st.integers(1, 65535)
HOSTS = st.lists(st.tuples(HOST, PORT), min_size=1, max_size=4)
BEHAVIOUR = {
    "THREAD_TTL_HOURS": (st.none() | st.floats(0.001, 878400), "ttl", HOUR),
    "USER_TTL_DAYS": (st.none() | st.floats(0.001, 36600), "profile_ttl", DAY),
    "MAX_THREAD_MESSAGES": (st.none() | NUMBER, "max_messages", 1),
    "WINDOW": (st.none() | NUMBER, "window", 1),
}


def as_text(value):
    return "none" if value is None else str(value)


@PROPERTY
@given(st.fixed_dictionaries({}, optional={name: v for name, (v, *_) in BEHAVIOUR.items()}))
def test_any_behaviour_comes_back_from_text(chosen):
    """Each number as its own unit says, and none as None."""
    found = made({f"MEMORY__{name}": as_text(value) for name, value in chosen.items()})
    for name, value in chosen.items():
        _, option, unit = BEHAVIOUR[name]
        assert found[option] == (None if value is None else value * unit)


POLICY = st.builds(RetryPolicy, attempts=NUMBER, initial=SECONDS, maximum=SECONDS, deadline=SECONDS)


@PROPERTY
@given(POLICY, SECONDS)
def test_any_retries_come_back_from_text(policy, pause):
    """And so does the pause of an outage."""
    names = ("attempts", "initial", "maximum", "deadline")
    retries = {f"MEMORY__RETRY__{name.upper()}": str(getattr(policy, name)) for name in names}
    found = made({**retries, **STATELESS, "MEMORY__OUTAGE_PAUSE": str(pause)})
    assert (found["retry"], found["pause"]) == (policy, pause)


@PROPERTY
@given(HOSTS, st.tuples(TEXT, TEXT, TEXT), st.integers(0, 15), st.booleans())
@example([("h", 1)], ("none", "${HOME}", " "), 0, True)
def test_any_place_comes_back_from_text(hosts, names, db, tls):
    """Hosts, names and passwords of any characters, by each way to say where a server is."""
    user, password, service = names
    (host, port), listed = hosts[0], ",".join(f"{host}:{port}" for host, port in hosts)
    common = {"REDIS__USERNAME": user, "REDIS__PASSWORD": password, "REDIS__SSL": str(tls)}
    places = {
        "standalone": {"REDIS__HOST": host, "REDIS__PORT": str(port), "REDIS__DB": str(db)},
        "sentinel": {
            "REDIS__SENTINELS": listed,
            "REDIS__SENTINEL_SERVICE": service,
            "REDIS__SENTINEL_USERNAME": user,
            "REDIS__SENTINEL_PASSWORD": password,
            "REDIS__DB": str(db),
        },
        "cluster": {"REDIS__CLUSTER": "true", "REDIS__NODES": listed},
    }
    for topology, place in places.items():
        found = made({**common, **place})
        assert found["topology"] == topology
        assert found["nodes"] == (tuple(hosts) if topology != "standalone" else ((host, port),))
        assert (found["username"], found["password"], found["tls"]) == (user, password, tls)
        if topology == "sentinel":
            assert found["service"] == service
            assert (found["sentinel_username"], found["sentinel_password"]) == (user, password)
        assert found.get("db", 0) == (0 if topology == "cluster" else db)


@PROPERTY
@given(
    st.sampled_from(sorted(documented())),
    st.text(st.characters(exclude_characters="\0"), max_size=20),
)
@example("REDIS__PASSWORD", "\udcff")
def test_any_text_is_taken_or_refused_by_name(name, value):
    """Nothing else comes of it, whatever stands in a variable."""
    try:
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return  # no environment can hold it
    try:
        made({name: value})
    except ConfigurationError as caught:
        error = str(caught)
    else:
        error = name
    assert name in error
