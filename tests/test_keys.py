"""Names of keys: no two owners share one, and no id means more than itself. No server here."""

from __future__ import annotations

import enum
import glob
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from langchain_redis_memory.errors import ConfigurationError
from langchain_redis_memory.storage import keys
from langchain_redis_memory.storage.keys import RESERVED_IDS, Keys, decode_id, encode_id

# Few letters, so that collisions are likely where the encoding allows any; then any string.
TRICKY = st.text(st.sampled_from("ab:%*?[]^\\{}23A5 \n\ud83d\ude00é😀"), min_size=1, max_size=6)
WORDS = st.sampled_from([*RESERVED_IDS, "memory", "store", "agent", "%73essions", "%70rofile"])
IDS = TRICKY | WORDS | st.text(st.characters(exclude_categories=()), min_size=1)

PARTS = st.sampled_from(["a", "b", "agent", "memory", "profile", "sessions", "x-1", ""])
NAMESPACES = st.lists(PARTS, min_size=1, max_size=4).map(":".join)

FORBIDDEN = re.compile(r"[:*?\[\]^\\{}\s\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def accepted(namespace: str) -> bool:
    try:
        Keys(namespace)
    except ConfigurationError:
        return False
    return True


@given(IDS)
def test_an_id_comes_back_and_its_form_means_nothing_else(value):
    """Any id is read back from its form, which holds no structure, pattern or reserved word."""
    encoded = encode_id(value, "session_id")
    assert decode_id(encoded) == value
    assert not FORBIDDEN.search(encoded)
    assert encoded not in RESERVED_IDS
    assert glob.escape(encoded) == encoded
    encoded.encode()


@given(IDS, IDS)
@example("a:b", "a%3Ab")
@example("%2A", "*")
@example("%252A", "%2A")
@example("sessions", "%73essions")
@example("\ud83d\ude00", "😀")
@example("é", "e\u0301")
def test_two_ids_never_have_one_form(one, other):
    """The encoding is injective, also for ids that look like encoded ones."""
    assert (encode_id(one, "id") == encode_id(other, "id")) == (one == other)


@given(st.tuples(IDS, IDS, IDS), st.tuples(IDS, IDS, IDS))
@example(("a", "b:c", "d"), ("a:b", "c", "d"))
@example(("a", "b", "sessions"), ("a", "b", "s"))
@example(("a", "execution_cache", "d"), ("a", "b", "d"))
def test_two_owners_never_share_a_key(one, other):
    """Different (agent, user, session) have different lists, and no list is anybody's index."""
    keys = Keys()
    assert (keys.session(*one) == keys.session(*other)) == (one == other)
    assert (keys.sessions(*one[:2]) == keys.sessions(*other[:2])) == (one[:2] == other[:2])
    assert keys.session(*one) != keys.sessions(*other[:2])
    parts = keys.session(*one).split(":")
    assert tuple(map(decode_id, parts[2:])) == one
    assert parts[:2] == ["agent", "memory"]


@given(NAMESPACES.filter(accepted), NAMESPACES.filter(accepted), IDS, IDS, IDS)
def test_two_namespaces_never_share_a_key(one, other, agent, user, session):
    """What one namespace names is never among the keys that another one could name."""
    key = Keys(one).session(agent, user, session)
    for root in ("memory", "profile"):
        assert key.startswith(f"{other}:{root}:") == (one == other and root == "memory")
    assert key.startswith(f"{one}:memory:")


@pytest.mark.parametrize(
    ("value", "form"),
    [
        ("alice", "alice"),
        ("user@example.com", "user@example.com"),
        ("0199f0c2-7d4e-7c3a", "0199f0c2-7d4e-7c3a"),
        ("a/b_c.d+e=f,g;h!", "a/b_c.d+e=f,g;h!"),
        ("😀", "😀"),
        ("日本語", "日本語"),
        ("*", "%2A"),
        ("a:b", "a%3Ab"),
        ("{x}", "%7Bx%7D"),
        ("a\nb", "a%0Ab"),
        ("%2A", "%252A"),
        ("[a-z]?^\\", "%5Ba-z%5D%3F%5E%5C"),
        ("\u2028", "%E2%80%A8"),
        ("\ud800", "%ED%A0%80"),
        ("sessions", "%73essions"),
        ("Sessions", "Sessions"),
        ("profile", "%70rofile"),
        ("execution_cache", "%65xecution_cache"),
        ("x" * 10_000, "x" * 10_000),
        ("::" * 5_000, "%3A%3A" * 5_000),
    ],
)
def test_plain_ids_stand_as_they_are_and_odd_ones_are_escaped(value, form):
    """A key can be read by people, and typed into redis-cli, wherever the id allows it."""
    assert encode_id(value, "id") == form
    assert decode_id(form) == value


def test_an_id_that_is_an_enum_stands_by_its_value():
    """A string enum is the string that it is, not the name that formatting would give."""

    class Team(str, enum.Enum):  # noqa: UP042 - a StrEnum formats as its value anyway
        RED = "red:1"
        BLUE = "blue"

    assert Keys().session("a", Team.BLUE, Team.RED) == "agent:memory:a:blue:red%3A1"


@pytest.mark.parametrize("name", ["agent", "user_id", "session_id"])
@pytest.mark.parametrize(
    ("value", "remedy"),
    [
        ("", "must not be empty"),
        (None, "must be a string, not NoneType"),
        (7, "must be a string, not int"),
        (b"alice", "must be a string, not bytes"),
        (["alice"], "must be a string, not list"),
    ],
)
def test_what_is_no_id_is_refused(name, value, remedy):
    """The error names the id that was wrong, what it was, and what it must be."""
    ids = {"agent": "a", "user_id": "u", "session_id": "s", name: value}
    with pytest.raises(ConfigurationError, match=f"^{name} {remedy}$"):
        Keys().session(*ids.values())


@pytest.mark.parametrize(
    ("namespace", "reason"),
    [
        ("", "must be a string of 1 to 256 characters, not ''"),
        (None, "must be a string of 1 to 256 characters, not None"),
        (b"a", "must be a string of 1 to 256 characters, not b'a'"),
        ("x" * 257, "must be a string of 1 to 256 characters"),
        ("a*", "'a*' must not hold '*'"),
        ("a?", "must not hold '?'"),
        ("[a]", "must not hold '['"),
        ("{a}", "must not hold '{'"),
        ("a b", "must not hold ' '"),
        ("a\n", r"must not hold '\n'"),
        ("a%3A", "must not hold '%'"),
        ("a\\", "must not hold"),
        ("\ud800", "must not hold"),
        ("memory", "'memory' must not hold the part 'memory'"),
        ("a:memory", "must not hold the part 'memory'"),
        ("a:profile:b", "must not hold the part 'profile'"),
        ("a::b", "must not hold the part ''"),
        (":a", "must not hold the part ''"),
        ("a:", "must not hold the part ''"),
    ],
)
def test_what_is_no_namespace_is_refused(namespace, reason):
    """A namespace that could reach into another one is refused, and the error shows which part."""
    with pytest.raises(ConfigurationError, match=f"^namespace .*{re.escape(reason)}"):
        Keys(namespace)


@pytest.mark.parametrize("namespace", ["acme", "acme:production", "日本", "a.b-c_d@e"])
def test_a_namespace_stands_in_front_of_every_key(namespace):
    """Tenants and environments can share a server, under names that people read."""
    keys = Keys(namespace)
    assert keys.session("a", "u", "s") == f"{namespace}:memory:a:u:s"
    assert keys.sessions("a", "u") == f"{namespace}:memory:a:u:sessions"


def test_only_short_ids_are_kept_in_mind():
    """A program that takes ids from outside does not grow by them."""
    encode_id("x" * 256, "session_id")
    before = keys._kept.cache_info().currsize
    assert encode_id("x:" * 200, "session_id") == "x%3A" * 200
    assert keys._kept.cache_info().currsize == before


class Folded(str):
    """A text that equals others."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other):
        return True


class Unhashable(str):
    __slots__ = ()
    __hash__ = None


@pytest.mark.parametrize("kind", [Folded, Unhashable])
def test_a_text_of_somebodys_own_is_taken_as_its_letters(kind):
    """Whatever it says that it equals."""
    assert encode_id("a", "user_id") == "a"
    assert encode_id(kind("b:"), "user_id") == "b%3A"
