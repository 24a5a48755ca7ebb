"""Taking over conversations from elsewhere: langchain-community, llama-index, OpenAI's messages."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from langchain_redis_memory.companions import SessionEntry
from langchain_redis_memory.errors import ConfigurationError
from langchain_redis_memory.moving import scripts
from langchain_redis_memory.moving.foreign import LIBRARIES, of_list
from langchain_redis_memory.moving.restoring import (
    OnConflict,
    Progress,
    Restorable,
    Transfer,
    check_on_conflict,
    restore_session,
)
from langchain_redis_memory.part import DEFAULT_USER, check_progress
from langchain_redis_memory.storage.keys import encode_id
from langchain_redis_memory.storage.operation import Operation
from langchain_redis_memory.storage.steps import Seen, each_page

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_core.messages import BaseMessage

    from langchain_redis_memory.storage.keys import Keys
    from langchain_redis_memory.storage.operation import Page
    from langchain_redis_memory.storage.steps import Steps

    Source = (
        Literal["langchain-community", "llama-index"] | Sequence[BaseMessage | Mapping[str, Any]]
    )

Ids = Callable[[str], tuple[str, str] | None]

_GLOB = re.compile(rb"[*?\[\]^\\]")


class How(TypedDict, total=False):
    """Options of an adoption.

    Attributes:
        user: Whose conversation a list of messages is; "default" if no user is named.
        session: Which conversation it is.
        prefix: What the keys of the other library start with; for langchain-community
            "message_store:" if nothing is said.
        ids: Gives the user and the session for what follows the prefix in a key, or None for a key
            to be left alone. Without it, the user is "default", and what follows is the session.
        remove: Remove the other library's conversation when it is stored here.
        on_conflict: See `RedisMemory.import_`.
        dry_run: Store nothing, and tell what would be stored.
        progress: Called with what was done so far, after each conversation.
    """

    user: str
    session: str
    prefix: str
    ids: Ids | None
    remove: bool
    on_conflict: OnConflict
    dry_run: bool
    progress: Progress | None


def adopt(
    keys: Keys,
    ttl_ms: int,
    source: Source,
    agent: str,
    *,
    user: str | None = None,
    session: str | None = None,
    on_conflict: OnConflict = "error",
    dry_run: bool = False,
    progress: Progress | None = None,
    **where: Any,
) -> Steps[Transfer]:
    """Store conversations that were kept elsewhere; see `Adoption.adopt`.

    Args:
        keys: The names of keys.
        ttl_ms: Milliseconds that they live, 0 for ever.
        source: See `Adoption.adopt`, as for the rest.
        agent: Whose they become.
        user: See `How`, as for the rest.
        session: Which conversation.
        on_conflict: What to do with one that differs.
        dry_run: Whether to store nothing.
        progress: Called with what was done.
        where: ``prefix``, ``ids`` and ``remove``.
    """
    check_on_conflict(on_conflict)
    encode_id(agent, "agent")
    place = _Target(keys, agent, ttl_ms)
    check_progress(progress)
    rules = _Rules(on_conflict, dry_run, progress or (lambda _: None))
    if isinstance(source, str):
        if user is not None or session is not None:
            raise ConfigurationError("user and session are for a list of messages; use ids")
        work = _Stored(place, rules, source, **where)
        yield from each_page(work.pattern, work.on, "list")
        return work.done
    if where:
        raise ConfigurationError(f"{next(iter(where))} is not for a list of messages")
    if session is None:
        raise ConfigurationError("say which session= the messages are, and of which user=")
    target = place.of(DEFAULT_USER if user is None else user, session, of_list(source))
    if not target.elements:
        return Transfer()
    done = yield from restore_session(target, on_conflict, dry_run=dry_run)
    rules.progress(done)
    return done


@dataclass(frozen=True, slots=True)
class _Rules:
    on_conflict: OnConflict
    dry_run: bool
    progress: Progress


@dataclass(frozen=True, slots=True)
class _Target:
    """Where conversations go."""

    keys: Keys
    agent: str
    ttl_ms: int

    def of(
        self, user: str, session: str, elements: Sequence[bytes], ttl_ms: int | None = None
    ) -> Restorable:
        """Say what is to be stored for a session; it lives as the memory says unless given."""
        key = self.keys.session(self.agent, user, session)
        entry = SessionEntry.of(key)
        return Restorable(key, entry, elements, self.ttl_ms if ttl_ms is None else ttl_ms)


class _Stored:
    """Takes over what another library keeps on this server, page by page of its keys."""

    def __init__(
        self,
        target: _Target,
        rules: _Rules,
        source: str,
        *,
        prefix: str | None = None,
        ids: Ids | None = None,
        remove: bool = False,
    ) -> None:
        if source not in LIBRARIES:
            known = ", ".join(map(repr, LIBRARIES))
            raise ConfigurationError(
                f"source must be a list of messages or one of {known}, not {source!r:.80}"
            )
        self._library = LIBRARIES[source]
        self._prefix = _prefix(prefix, self._library.prefix, ids, target.keys.namespace)
        self._own = f"{target.keys.namespace}:".encode()
        self._target = target
        self._rules = rules
        self._ids = ids or (lambda rest: (DEFAULT_USER, rest))
        self._remove = remove and not rules.dry_run
        self._seen = Seen()
        self._taken = Seen()
        self.done = Transfer()

    @property
    def pattern(self) -> bytes:
        """What to look for."""
        return _GLOB.sub(rb"\\\g<0>", self._prefix) + b"*"

    def on(self, page: Page) -> Steps[None]:
        """Take over the conversations of a page."""
        for key in page:
            if key.startswith(self._own) or not self._seen.is_new(key):
                continue
            name = key.decode(errors="backslashreplace")
            rest = key[len(self._prefix) :].decode(errors="surrogateescape")
            ids = _checked_ids(self._ids(rest), name)
            if ids is not None:
                self.done += yield from self._take(key, name, *ids)
                self._rules.progress(self.done)

    def _take(self, key: bytes, name: str, user: str, session: str) -> Steps[Transfer]:
        done: Transfer | None = None
        rules = self._rules
        while True:
            found, ttl_ms = yield _read(key, name)
            if not found:
                break
            elements = self._library.elements(found, name)
            target = self._target.of(user, session, elements, ttl_ms)
            if done is None and not self._taken.is_new(target.key.encode()):
                raise ConfigurationError(
                    f"the key {name!r:.80} would be the same session as another one, "
                    f"{target.key!r}; give each a session of its own with ids="
                )
            step = yield from restore_session(target, rules.on_conflict, dry_run=rules.dry_run)
            done = step if done is None else replace(done, messages=done.messages + step.messages)
            if not self._remove or step.skipped:
                break
            # It goes when it has been read back, and is what was read: else all of it again.
            again = yield from restore_session(target, "skip")
            if again.unchanged and (yield self._unlink(key, name, found)):
                break
        return done or Transfer()

    def _unlink(self, key: bytes, name: str, found: Sequence[bytes]) -> Operation[bool]:
        end = self._library.newest
        call = scripts.UNLINK_UNCHANGED.on(key, len(found), end, found[end])
        return Operation(
            "removing what was adopted", (call,), lambda replies: replies[0] == 1, name
        )


def _read(key: bytes, name: str) -> Operation[tuple[list[bytes], int]]:
    """Give the elements, and the milliseconds that they have left to live; 0 for ever."""
    return Operation(
        "reading what is to be adopted",
        (("LRANGE", key, 0, -1), ("PTTL", key)),
        lambda replies: (replies[0], max(replies[1], 0)),
        name,
    )


def _prefix(prefix: object, usual: str | None, ids: Ids | None, namespace: str) -> bytes:
    if prefix is None:
        prefix = usual
    if not isinstance(prefix, str) or (not prefix and ids is None):
        raise ConfigurationError(
            "say with which prefix= the keys begin; prefix='' reads every list of the database, "
            "for which ids= must tell the conversations from the others"
        )
    if prefix.startswith(f"{namespace}:"):
        raise ConfigurationError(
            f"prefix {prefix!r:.80} lies in the memory's own namespace {namespace!r}; adopt with "
            "a memory that has another one"
        )
    with suppress(UnicodeEncodeError):
        return prefix.encode()
    raise ConfigurationError("prefix is not text that UTF-8 can hold")


def _checked_ids(ids: object, key: str) -> tuple[str, str] | None:
    if ids is None:
        return None
    if not isinstance(ids, tuple) or len(ids) != 2:  # noqa: PLR2004 - a pair
        raise ConfigurationError(f"ids must give (user, session) or None for the key {key!r:.80}")
    for id_, what in zip(ids, ("user", "session"), strict=True):
        if not isinstance(id_, str) or not id_:
            raise ConfigurationError(
                f"the key {key!r:.80} gives no {what}; give one with ids=, or None to leave it out"
            )
    return ids
