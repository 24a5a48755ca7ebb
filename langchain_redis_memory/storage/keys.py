r"""Names of keys, and the encoding that keeps one id from reaching another's data.

Plain ids stand in a key as they are. What could be taken for structure or for a pattern is
percent-encoded as in RFC 3986 section 2.1: ``:`` and ``%``, the glob characters of Redis
(``* ? [ ] ^ \``, see https://redis.io/docs/latest/commands/keys/), braces (they choose the slot
on a cluster), white space, control characters and lone surrogates. The first letter of an id that
equals a reserved word is encoded too. The encoding is injective, and `decode_id` reverses it.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal
from urllib.parse import unquote_to_bytes

from langchain_redis_memory.errors import ConfigurationError

RESERVED_IDS = frozenset({"sessions", "profile", "execution_cache"})
"""Words that stand where an id may stand, and mean something else there."""

_GLOB = r"*?\[\]^\\"
_UNSAFE = re.compile(rf"[:%{_GLOB}{{}}\s\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_ROOTS = ("memory", "profile", "store")
_MAX_NAMESPACE = 256
_MAX_KEPT = 256


def encode_id(value: object, name: str) -> str:
    """Give an id the form in which it stands in a key.

    Args:
        value: The id: any non-empty string.
        name: What the id is (``"session_id"``), for the error.

    Raises:
        ConfigurationError: The id is no string, or empty.
    """
    encoded = encode_text(value, name)
    if not encoded:
        raise ConfigurationError(f"{name} must not be empty")
    if encoded in RESERVED_IDS:
        return _percent(encoded[0]) + encoded[1:]
    return encoded


def encode_text(value: object, name: str) -> str:
    """Give a text the form in which it stands at the end of a key, also an empty one.

    Args:
        value: The text.
        name: What the text is, for the error.

    Raises:
        ConfigurationError: It is no string.
    """
    if not isinstance(value, str):
        raise ConfigurationError(f"{name} must be a string, not {type(value).__name__}")
    return _kept(value) if may_be_kept(value) else _encoded(value)


def may_be_kept(value: object) -> bool:
    """Tell whether what comes of an id may be kept: it is nothing but text, and not too much."""
    return type(value) is str and len(value) <= _MAX_KEPT


def _encoded(text: str) -> str:
    return _UNSAFE.sub(lambda match: _percent(match[0]), text)


_kept = lru_cache(maxsize=1024)(_encoded)  # an id that is used is used in every turn


def decode_id(encoded: str) -> str:
    """Give back the id that `encode_id` was given."""
    octets = unquote_to_bytes(encoded.encode("utf-8", "surrogateescape"))
    return octets.decode("utf-8", "surrogatepass")


def is_text(value: str) -> bool:
    """Tell whether UTF-8 can hold a text."""
    return not _SURROGATE.search(value)


def _percent(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))


Kind = Literal["session", "summary", "profile", "index", "cached", "other"]
"""What a key of the memory holds; "other" is what applications put below a session."""


def summary_of(session: str) -> str:
    """Name the summary of the session whose messages are at a key.

    What stands in braces chooses the slot on a cluster (see "hash tags" in the specification of
    Redis Cluster): it is that of the session, so that one script can touch both.
    """
    return f"{session}:summary:{{{session}}}"


@dataclass(frozen=True, slots=True)
class Place:
    """What a key holds, and whose it is; the ids are those that were given."""

    kind: Kind
    agent: str | None
    user: str | None = None
    session: str | None = None


@dataclass(frozen=True, slots=True)
class Keys:
    """The names of all keys in one namespace.

    Args:
        namespace: What every key starts with, so that tenants and environments can share a
            server. Any characters but those that `encode_id` escapes; ``:`` is fine.

    Raises:
        ConfigurationError: The namespace is empty, too long or could reach into another one.
    """

    namespace: str = "agent"

    def __post_init__(self) -> None:
        namespace: object = self.namespace
        if not isinstance(namespace, str) or not 0 < len(namespace) <= _MAX_NAMESPACE:
            raise ConfigurationError(
                f"namespace must be a string of 1 to {_MAX_NAMESPACE} characters, "
                f"not {namespace!r:.80}"
            )
        if found := _UNSAFE.search(namespace.replace(":", "")):
            raise ConfigurationError(
                f"namespace {namespace!r} must not hold {found[0]!r}: glob characters, braces, "
                "percent signs, white space and control characters would widen what it matches"
            )
        # "a:memory" would have its keys among those of the namespace "a".
        for part in namespace.split(":"):
            if not part or part in _ROOTS:
                raise ConfigurationError(
                    f"namespace {namespace!r} must not hold the part {part!r}: it could be taken "
                    "for the keys of another namespace"
                )

    def session(self, agent: str, user: str, session: str) -> str:
        """Name the list of a session's messages."""
        return f"{self._owner(agent, user)}:{encode_id(session, 'session_id')}"

    def foreign(self, key: str) -> str:
        """Give a key of the caller's own, unless it is one of this namespace.

        Raises:
            ConfigurationError: It is: writing there would destroy what is kept under it.
        """
        if isinstance(key, str) and key.startswith(f"{self.namespace}:"):
            raise ConfigurationError(
                f"key {key!r:.80} is one of the namespace {self.namespace!r}; use another one"
            )
        return key

    def store(self, name: str) -> str:
        """Name what the keys of a store start with."""
        return f"{self.namespace}:store:{encode_id(name, 'name')}:"

    def sessions(self, agent: str, user: str) -> str:
        """Name the sorted set of a user's sessions with an agent."""
        return f"{self._owner(agent, user)}:sessions"

    def profile(self, user: str, agent: str | None = None) -> str:
        """Name the profile of a user, for one agent or for all."""
        if agent is None:
            return f"{self.namespace}:profile:{encode_id(user, 'user_id')}"
        return f"{self._owner(agent, user)}:profile"

    def cache(self, agent: str) -> str:
        """Name what the keys of an agent's execution cache start with."""
        return f"{self._agent(agent)}:execution_cache:"

    def every(self, kind: str, agent: str | None = None, user: str | None = None) -> str:
        """Give the pattern of the keys in a part of the namespace.

        Ids hold no character that means something in a pattern, so it is as wide as it looks. The
        star between two ids is not: it takes in colons. `place` tells which keys are meant.

        Args:
            kind: ``"memory"`` or ``"profile"``.
            agent: Which agent's, in the memory; None for all.
            user: Whose; None for all.
        """
        ids = [encode_id(user, "user_id") if user is not None else "*"]
        if kind == "memory":
            ids[:0] = [encode_id(agent, "agent") if agent is not None else "*"]
            ids.append("*")
        return ":".join([self.namespace, kind, *ids])

    def place(self, key: bytes) -> Place | None:
        """Tell what a key holds; None if it is none of the memory's."""
        prefix = f"{self.namespace}:"
        name = key.decode("utf-8", "surrogateescape")  # applications name keys below sessions
        if not name.startswith(prefix):
            return None
        with suppress(UnicodeDecodeError):
            return self._place(name.removeprefix(prefix).split(":"))
        return None  # no id is written like that

    @staticmethod
    def _place(parts: list[str]) -> Place | None:
        match parts:
            case ["profile", user]:
                return Place("profile", None, decode_id(user))
            case ["memory", agent, "execution_cache", *_]:
                return Place("cached", decode_id(agent))
            case ["memory", agent, user, ("profile" | "sessions") as word]:
                kind: Kind = "profile" if word == "profile" else "index"
                return Place(kind, decode_id(agent), decode_id(user))
            case ["memory", agent, user, session, "summary", tag, *_] if tag.startswith("{"):
                return Place("summary", decode_id(agent), decode_id(user), decode_id(session))
            case ["memory", agent, user, session, *below]:
                kind = "other" if below else "session"
                return Place(kind, decode_id(agent), decode_id(user), decode_id(session))
        return None

    def _agent(self, agent: str) -> str:
        return f"{self.namespace}:memory:{encode_id(agent, 'agent')}"

    def _owner(self, agent: str, user: str) -> str:
        return f"{self._agent(agent)}:{encode_id(user, 'user_id')}"
