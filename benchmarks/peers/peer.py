"""What a peer can be asked for. A case is measured of the peers that have what it needs."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from benchmarks.conversations import Record

TTL = 7 * 24 * 60 * 60
"""Seconds until a conversation expires, for all that can set it."""


class Peer:
    """One way to keep conversations.

    A subclass has `add`, `read` and `last`, or their asynchronous twins `aadd`, `aread` and
    `alast`, as far as what it stands for can do them.

    Args:
        url: A server, and a database there that nobody else uses.
    """

    packages: ClassVar[tuple[str, ...]] = ()
    """The distributions whose versions the table gives."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.filled: set[str] = set()
        self.open()

    def open(self) -> None:
        """Begin anew, without a connection; before each case."""

    async def aclose(self) -> None:
        """Close what the running event loop used; after each case."""

    def versions(self) -> dict[str, str]:
        """Tell what is installed."""
        found = {}
        for package in self.packages:
            try:
                found[package] = version(package)
            except PackageNotFoundError:  # a checkout that was never installed
                found[package] = "as checked out"
        return found

    def messages(self, records: list[Record]) -> list[Any]:
        """Make messages as the peer takes them."""
        raise NotImplementedError

    def exchange(self: Any, session: str, messages: list[Any]) -> None:
        """Read all messages and store a turn."""
        self.read(session)
        self.add(session, messages)

    async def aexchange(self: Any, session: str, messages: list[Any]) -> None:
        """Read all messages and store a turn."""
        await self.aread(session)
        await self.aadd(session, messages)

    def trim(self, session: str, size: int) -> None:
        """Keep the oldest `size` messages; not measured."""
        raise NotImplementedError


def trim_newest_first(client: Any, key: str, size: int) -> None:
    """Keep the oldest elements of a list that has its newest first."""
    if size:
        client.ltrim(key, -size, -1)
    else:
        client.delete(key)


def trim_oldest_first(client: Any, key: str, size: int) -> None:
    """Keep the oldest elements of a list that has them first."""
    if size:
        client.ltrim(key, 0, size - 1)
    else:
        client.delete(key)
