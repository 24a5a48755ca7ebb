r"""Names of keys, and the encoding that keeps one id from reaching another's data.

Plain ids stand in a key as they are. What could be taken for structure or for a pattern is
percent-encoded as in RFC 3986 section 2.1: ``:`` and ``%``, the glob characters of Redis
(``* ? [ ] ^ \``, see https://redis.io/docs/latest/commands/keys/), braces (they choose the slot
on a cluster), white space, control characters and lone surrogates. The first letter of an id that
equals a reserved word is encoded too. The encoding is injective, and `decode_id` reverses it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from langchain_redis_memory.errors import ConfigurationError

RESERVED_IDS = frozenset({"sessions", "profile", "execution_cache"})
"""Words that stand where an id may stand, and mean something else there."""

_GLOB = r"*?\[\]^\\"
_UNSAFE = re.compile(rf"[:%{_GLOB}{{}}\s\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_ROOTS = ("memory", "profile", "store")
_MAX_NAMESPACE = 256


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
    return _UNSAFE.sub(lambda match: _percent(match[0]), value)


def decode_id(encoded: str) -> str:
    """Give back the id that `encode_id` was given."""
    return unquote_to_bytes(encoded).decode("utf-8", "surrogatepass")


def _percent(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))


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

    def _owner(self, agent: str, user: str) -> str:
        return f"{self.namespace}:memory:{encode_id(agent, 'agent')}:{encode_id(user, 'user_id')}"
