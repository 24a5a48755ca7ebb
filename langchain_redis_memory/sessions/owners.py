"""Who has something in a memory: its agents, and their users.

Nothing lists them, so they are taken from the names of the keys, which SCAN goes through on every
node that holds some.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from langchain_redis_memory.storage.keys import encode_id
from langchain_redis_memory.storage.steps import Item, Seen, each_page

if TYPE_CHECKING:
    from langchain_redis_memory.storage.keys import Keys
    from langchain_redis_memory.storage.operation import Page
    from langchain_redis_memory.storage.steps import Steps


def each_agent(keys: Keys) -> Steps[None]:
    """Give each agent once; see `Sessions.agents`."""
    return each_page(keys.every("memory"), _Names(keys, "agent").in_memory)


def each_user(keys: Keys, agent: str | None) -> Steps[None]:
    """Give each user once; see `Sessions.users`."""
    names = _Names(keys, "user")
    return _all_users(keys, names, keys.every("memory", agent), everywhere=agent is None)


def _all_users(keys: Keys, names: _Names, pattern: str, *, everywhere: bool) -> Steps[None]:
    yield from each_page(pattern, names.in_memory)
    if everywhere:
        yield from each_page(keys.every("profile"), names.in_profiles)


class _Names:
    """Gives the names that are new among those of a page of keys."""

    def __init__(self, keys: Keys, who: Literal["agent", "user"]) -> None:
        self._keys = keys
        self._who = who
        self._seen = Seen()
        self._kind = keys.namespace.count(":") + 1  # which part of a key says what it is of

    def in_memory(self, page: Page) -> Steps[None]:
        return self._new(page, self._kind + (1 if self._who == "agent" else 2))

    def in_profiles(self, page: Page) -> Steps[None]:
        return self._new(page, self._kind + 1)

    def _new(self, page: Page, part: int) -> Steps[None]:
        for key in page:
            # Most keys name somebody who is known by now, and are not looked at any further.
            encoded = key.split(b":", part + 1)[part]
            if encoded not in self._seen and (name := self._name(key, encoded)):
                self._seen.is_new(encoded)  # and not before: another key may have it right
                yield Item(name)

    def _name(self, key: bytes, encoded: bytes) -> str | None:
        place = self._keys.place(key)
        name = place and getattr(place, self._who)
        # Another program may write ids in its own way, which none of the methods would find.
        return name if name and encode_id(name, self._who).encode() == encoded else None
