"""URLs of every topology, without a server."""

from __future__ import annotations

import string
import traceback
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from langchain_redis_memory import ConfigurationError
from langchain_redis_memory.storage.urls import SCHEMES, Address, parse

SECRET = "pa-ss-word-4711"
LOCAL = ("localhost", 6379)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://", Address("standalone", (LOCAL,))),
        ("redis://localhost", Address("standalone", (LOCAL,))),
        ("redis://localhost:6380/", Address("standalone", (("localhost", 6380),))),
        ("redis://h/3", Address("standalone", (("h", 6379),), options={"db": 3})),
        ("redis://h?db=3", Address("standalone", (("h", 6379),), options={"db": 3})),
        ("rediss://h:1", Address("standalone", (("h", 1),), tls=True)),
        ("redis://[::1]:7/0", Address("standalone", (("::1", 7),), options={"db": 0})),
        ("redis://[::1]", Address("standalone", (("::1", 6379),))),
        ("redis://:pw@h", Address("standalone", (("h", 6379),), options={"password": "pw"})),
        ("redis://me@h", Address("standalone", (("h", 6379),), options={"username": "me"})),
        ("unix:///tmp/s", Address("standalone", options={"path": "/tmp/s"})),
        (
            "unix://me:pw@/tmp/s?db=2",
            Address(
                "standalone",
                options={"path": "/tmp/s", "username": "me", "password": "pw", "db": 2},
            ),
        ),
        (
            "redis+sentinel://a,b:2,[::1]:3,[::2]/main/4",
            Address(
                "sentinel",
                (("a", 26379), ("b", 2), ("::1", 3), ("::2", 26379)),
                "main",
                options={"db": 4},
            ),
        ),
        ("redis+sentinel://a/main", Address("sentinel", (("a", 26379),), "main")),
        ("rediss+sentinel://a/main", Address("sentinel", (("a", 26379),), "main", tls=True)),
        (
            "redis+sentinel://me:pw@a/main?sentinel_username=su&sentinel_password=p%40",
            Address(
                "sentinel",
                (("a", 26379),),
                "main",
                options={
                    "username": "me",
                    "password": "pw",
                    "sentinel_username": "su",
                    "sentinel_password": "p@",
                },
            ),
        ),
        ("redis+cluster://a,b:2", Address("cluster", (("a", 6379), ("b", 2)))),
        ("redis+cluster://a/0", Address("cluster", (("a", 6379),))),
        ("rediss+cluster://a:1", Address("cluster", (("a", 1),), tls=True)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_form_is_read(url, address):
    """Hosts, ports, service, database, user and TLS."""
    assert parse(url) == address


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("redis://me:pw@h/3", "h:6379/3"),
        ("redis://[::1]:7", "[::1]:7/0"),
        ("unix://me:pw@/tmp/s", "unix:///tmp/s"),
        ("redis+sentinel://me:pw@a,[::1]:3/main/4", "sentinel a:26379,[::1]:3/main/4"),
        ("redis+cluster://me:pw@a,b:2", "cluster a:6379,b:2"),
    ],
)
def test_an_address_reads_well(url, text):
    """It names where the server is, and nobody's password."""
    assert str(parse(url)) == text


def test_options_stand_in_the_query_as_redis_py_takes_them():
    """Numbers and truths are read as such."""
    options = parse("redis://h?socket_timeout=1.5&max_connections=7&socket_keepalive=no").options
    assert options == {"socket_timeout": 1.5, "max_connections": 7, "socket_keepalive": False}


# Any characters

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
PLACES = {
    "redis": "localhost:6379/0",
    "rediss": "[::1]:7/2",
    "unix": "/tmp/server.sock",
    "redis+sentinel": "a,b:2/main/0",
    "rediss+sentinel": "[::1]:3/main",
    "redis+cluster": "a:1,b",
    "rediss+cluster": "a",
}


@given(st.sampled_from(SCHEMES), TEXTS, TEXTS)
@example("redis+sentinel", "us:er@/?#", "p@ss:w/o?r#d%")
@example("unix", "%25", "%zz")
def test_names_and_passwords_of_any_characters_come_back(scheme, user, password):
    """When they are percent-encoded; and no address shows them."""
    secret = f"<{password}>{password}"
    url = f"{scheme}://{quote(user, safe='')}:{quote(secret, safe='')}@{PLACES[scheme]}"
    address = parse(url)
    assert address.options["username"] == user
    assert address.options["password"] == secret
    assert secret not in f"{address!r}{address}"


@given(TEXTS)
def test_sentinels_passwords_of_any_characters_come_back(password):
    """From the URL's query."""
    url = f"redis+sentinel://h/main?sentinel_password={quote(password, safe='')}"
    assert parse(url).options["sentinel_password"] == password


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30))
@example("a b%20c?d#e@f:g")
def test_sockets_of_any_name_are_found(name):
    """When their path is percent-encoded."""
    assert parse(f"unix:///tmp/{quote(name, safe='')}").options["path"] == f"/tmp/{name}"


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b.c", "10.0.0.1", "::1", "fe80::1"]), st.integers(1, 65535)
        ),
        min_size=1,
        max_size=5,
    )
)
def test_any_number_of_hosts_is_read(nodes):
    """In their order, with IPv6 in brackets."""
    hosts = ",".join(
        f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in nodes
    )
    assert parse(f"redis+cluster://{hosts}").nodes == tuple(nodes)
    assert parse(f"redis+sentinel://{hosts}/main").nodes == tuple(nodes)
    assert str(parse(f"redis+cluster://{hosts}")) == f"cluster {hosts}"


# Wrong ones

WRONG = [
    "localhost:6379",
    "http://me:{}@localhost",
    "{}://localhost",
    "{}",
    "redis://:{}#@localhost:6379/0",
    "redis://me:12/{}@localhost",
    "redis://me:12?{}@localhost",
    "redis://a@b:{}@localhost",
    "redis://:{}@localhost:99999/0",
    "redis://:{}@localhost:-1/0",
    "redis://:{}@localhost:port/0",
    "redis://:{}@localhost:6379/first",
    "redis://:{}@localhost:6379/-1",
    "redis://:{}@localhost?db=-1",
    "redis://:{}@localhost?db=first",
    "redis://:{}@localhost?socket_timeout={}",
    "redis://:{}@localhost:6379/0#x",
    "redis://:{}@[::1",
    "redis://:{}@::1",
    "redis://:{}@a,b",
    "redis://localhost:{}",
    "redis://me:12/3?{}@localhost",
    "redis+sentinel://me:12/{}@localhost",
    "unix://relative/{}",
    "unix://me:12/{}@/tmp/s",
    "unix://me:12@/{}@/tmp/s",
    "unix://me:12#{}@/tmp/s",
    "unix://:{}@",
    "unix://me:{}@?db=0",
    "unix://me:{}@/tmp/s?db=first",
    "redis+sentinel://:{}@a,b",
    "redis+sentinel://:{}@a:1,b:x/main",
    "redis+sentinel://:{}@a/main/first",
    "redis+sentinel://:{}@a/main/0/more",
    "redis+sentinel://a@b:{}@a/main",
    "redis+cluster://:{}@a:1,b:x",
    "redis+cluster://:{}@a/1",
    "redis+cluster://:{}@a?db=1",
    "redis+cluster://:{}#@a",
]


def shown(error):
    """Give all that can be printed of an error, and of those that led to it."""
    parts = []
    while error is not None:
        parts += [*traceback.format_exception(error), repr(error), repr(error.args)]
        parts.append(repr(vars(error)))
        error = error.__context__
    return "".join(parts)


@pytest.mark.parametrize("pattern", WRONG)
def test_wrong_urls_are_refused_without_their_passwords(pattern):
    """The error says what a URL looks like; neither it nor what led to it quotes this one."""
    with pytest.raises(ConfigurationError, match="URL") as caught:
        parse(pattern.replace("{}", SECRET))
    assert SECRET not in shown(caught.value)


@given(st.sampled_from(SCHEMES), st.text(string.punctuation, max_size=6))
def test_a_password_that_is_not_encoded_is_never_shown(scheme, odd):
    """Whether it makes the URL wrong or is read as something else."""
    secret = f"{odd}{SECRET}{odd}"
    try:
        found = parse(f"{scheme}://me:{secret}@{PLACES[scheme]}")
    except ConfigurationError as error:
        found = shown(error)
    assert SECRET not in f"{found!r}{found}"


@pytest.mark.parametrize("value", [None, b"redis://localhost", 1, ["redis://localhost"]])
def test_what_is_no_text_is_refused(value):
    """By its type, without its value."""
    with pytest.raises(ConfigurationError, match=f"not {type(value).__name__}"):
        parse(value)


@pytest.mark.parametrize("tls", ["", "s"])
@pytest.mark.parametrize("kind", ["", "+sentinel", "+cluster"])
def test_valkey_is_another_word_for_redis(tls, kind):
    """It speaks the same protocol, and its own clients write it so."""
    rest = f"{tls}{kind}://me:pw@host:7000" + ("/service/0" if "sentinel" in kind else "")
    assert parse(f"valkey{rest}") == parse(f"redis{rest}")


def test_an_option_that_cannot_be_read_is_named():
    """And what stands there is not shown."""
    with pytest.raises(ConfigurationError, match="max_connections") as caught:
        parse("redis://me:pw@host/0?max_connections=secret")
    assert "secret" not in str(caught.value)
    assert caught.value.__context__ is None
