"""Profiles: what is known of a user, as a JSON object that does not expire unless told to.

A change is read, made here, and written if nobody else has written meanwhile; otherwise it is made
again on what they wrote. That nobody has is for a script to see, `scripts.REPLACE`: ``WATCH`` would
hold a connection of the pool over both trips, and longer while the function works.
"""

from __future__ import annotations

import inspect
import itertools
import random
import time
from typing import TYPE_CHECKING, Any, Generic

from langchain_redis_memory.display.shown import Shown
from langchain_redis_memory.errors import ConfigurationError, StorageUnavailable
from langchain_redis_memory.limits import check_ttl, in_milliseconds
from langchain_redis_memory.profiles.forms import (
    Draft,
    Form,
    P,
    checked_object,
)
from langchain_redis_memory.profiles.versioned import (
    Outcome,
    delete,
    exists,
    look,
    read,
    replace,
    write,
)
from langchain_redis_memory.storage.exact import decode_value, encode_value
from langchain_redis_memory.storage.steps import Call, Pause, afollow, follow

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from langchain_redis_memory.display.cards import Card
    from langchain_redis_memory.storage.connection import Connection
    from langchain_redis_memory.storage.operation import Operation
    from langchain_redis_memory.storage.steps import Steps


class Profile(Shown, Generic[P]):
    """What is known of a user: a dict, or a pydantic model; made by `RedisMemory.profile`.

    Args:
        connection: Where it is.
        form: Under which key, and what it is to its user.
        ttl: Seconds until it expires after it was last written; None for never.
        read_refreshes: Whether a read lets it live for so long too.
    """

    def __init__(
        self,
        connection: Connection,
        form: Form[P],
        ttl: float | None = None,
        *,
        read_refreshes: bool = False,
    ) -> None:
        check_ttl(ttl)
        self._connection = connection
        self._form = form
        self._ttl = 0 if ttl is None else in_milliseconds(ttl)
        self._ttl_of_reads = self._ttl if read_refreshes else 0

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.key!r})"

    def _card(self) -> Card:
        from langchain_redis_memory.display.profiles import profile_card  # noqa: PLC0415 - see `Shown`

        return profile_card(self)

    @property
    def key(self) -> str:
        """The key in Redis, whose value any program can read as JSON."""
        return self._form.key

    @property
    def read_ttl_ms(self) -> int:
        """For how many milliseconds a read lets it live; 0 if reads do not matter."""
        return self._ttl_of_reads

    @property
    def connection(self) -> Connection:
        """Where it is."""
        return self._connection

    def get(self) -> P:
        """Give the profile; when there is none, an empty dict or what the model makes of one.

        Raises:
            CorruptedDataError: What is stored is no JSON object, or does not fit the model.
            ConfigurationError: There is none, and the model has a field without a default.
        """
        return self._connection.run(self._read())

    async def aget(self) -> P:
        """See `get`."""
        return await self._connection.arun(self._read())

    def set(self, data: P) -> None:
        """Replace the profile.

        Args:
            data: A dict of what JSON holds, or the model. A None in it is kept, as JSON's null.

        Raises:
            UnstorableError: It does not fit, or would not come back equal; nothing was written.
        """
        self._connection.run(write(self.key, self._form.write(data).text, self._ttl))

    async def aset(self, data: P) -> None:
        """See `set`."""
        await self._connection.arun(write(self.key, self._form.write(data).text, self._ttl))

    def update(self, patch: dict[str, Any]) -> P:
        """Change some of the profile, whatever others change meanwhile.

        Args:
            patch: A JSON Merge Patch (RFC 7396): a value replaces the one of the same name, None
                removes it, and a dict is such a patch in its turn.

        Returns:
            The new profile.

        Raises:
            UnstorableError: The result does not fit; nothing was written.
            CorruptedDataError: What is stored is no JSON object.
            StorageUnavailable: Redis is away, or others wrote in between until the deadline.
        """
        return follow(self._connection, self._updated(patch))

    async def aupdate(self, patch: dict[str, Any]) -> P:
        """See `update`."""
        return await afollow(self._connection, self._updated(patch))

    def modify(self, function: Callable[[P], P | None]) -> P:
        """Change the profile by a function of it, exactly once.

        Args:
            function: Is given a copy of the profile, and returns the new one, or None if it has
                changed the copy itself. Called again if others wrote in between, so it should be
                quick and do nothing else.

        Returns:
            The new profile.

        Raises:
            StorageUnavailable: See `update`; or a connection broke, others wrote since, and it
                cannot be told whether the change was stored before. Read the profile and decide.
            UnstorableError: See `set`.
            CorruptedDataError: See `get`, as for `ConfigurationError`.
        """
        if inspect.iscoroutinefunction(function):
            raise ConfigurationError("modify takes no asynchronous function; amodify does")
        return follow(self._connection, self._modified(function))

    async def amodify(self, function: Callable[[P], P | Awaitable[P | None] | None]) -> P:
        """See `modify`; the function may be asynchronous."""
        return await afollow(self._connection, self._modified(function))

    def delete(self) -> None:
        """Remove the profile."""
        self._connection.run(delete(self.key))

    async def adelete(self) -> None:
        """See `delete`."""
        await self._connection.arun(delete(self.key))

    def exists(self) -> bool:
        """Tell whether there is a profile."""
        return self._connection.run(exists(self.key))

    async def aexists(self) -> bool:
        """See `exists`."""
        return await self._connection.arun(exists(self.key))

    def _read(self) -> Operation[P]:
        def absent() -> P:
            self._form.refuse_to_be_without()
            return self._form.read(None)

        return read(self.key, self._ttl_of_reads, self._form.read, absent)

    def _updated(self, patch: dict[str, Any]) -> Steps[P]:
        # A copy of its own: the caller may change the patch before it is applied again.
        mine = decode_value(encode_value(checked_object(patch), "profile"), self.key)

        def merge(stored: bytes | None) -> Steps[Draft[P]]:
            yield from ()
            return self._form.merge(stored, mine)

        return self._changed(merge, again=True)

    def _modified(self, function: Callable[[P], Any]) -> Steps[P]:
        def change(stored: bytes | None) -> Steps[Draft[P]]:
            given = self._form.read(stored)
            changed = yield Call(function, given)
            if changed is None or changed is given:
                return self._form.write(given, stored)
            if given != self._form.read(stored):
                raise ConfigurationError(
                    "the function changed its copy of the profile and returned something else; "
                    "return the copy, or None"
                )
            return self._form.write(changed, stored)

        return self._changed(change, again=False)

    def _changed(
        self, change: Callable[[bytes | None], Steps[Draft[P]]], *, again: bool
    ) -> Steps[P]:
        """Store a change; `again` tells whether it may be made on top of itself."""
        latest = time.monotonic() + self._connection.policy.deadline
        pauses = _pauses()
        while True:
            stored, lasts = yield look(self.key)
            if lasts is None:
                return (yield from self._changed_without(change))
            draft = yield from change(stored)
            if stored is not None and lasts and not self._ttl and stored.rstrip() == draft.text:
                return draft.value
            outcome = yield replace(self.key, stored, draft.text, self._ttl)
            if outcome is Outcome.STORED:
                return draft.value
            if outcome is Outcome.UNKNOWN and not again:
                raise StorageUnavailable(
                    f"it could not be found out whether a change of {self.key!r} was stored: the "
                    "connection broke, and others have written since; read the profile and decide"
                )
            pause = next(pauses)
            if time.monotonic() + pause > latest:
                raise StorageUnavailable(
                    f"a change of {self.key!r} could not be stored within "
                    f"{self._connection.policy.deadline:g} s: others changed it in between"
                )
            yield Pause(pause)

    def _changed_without(self, change: Callable[[bytes | None], Steps[Draft[P]]]) -> Steps[P]:
        """Make a change of nothing, while Redis is away; it is not to replace what there may be."""
        self._form.refuse_to_be_without()
        self._connection.availability.drop()
        return (yield from change(None)).value


# Seconds. Measured with eight processes that do nothing but change one profile.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.002, 0.5


def _pauses() -> Iterator[float]:
    """Wait longer each time, and by chance, so that those who met do not meet again."""
    for attempt in itertools.count():
        longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(attempt, 10))
        yield random.uniform(0, longest)  # noqa: S311 - a pause is no secret
