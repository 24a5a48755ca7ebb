"""How commands reach the nodes of a cluster from an event loop."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any, Protocol

from redis import exceptions as redis_errors

from langchain_redis_memory.errors import MemoryClosedError
from langchain_redis_memory.storage.lanes import Lane
from langchain_redis_memory.storage.requests import key_of, packed
from langchain_redis_memory.storage.ways import Slots

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import redis.asyncio

    from langchain_redis_memory.storage.lanes import Outcome
    from langchain_redis_memory.storage.operation import Command

# How often a command is sent on at most, while its slot moves from node to node.
_HOPS = 5


class Nodes(Protocol):
    """The nodes of a cluster, and how they are reached."""

    @property
    def limit(self) -> int:
        """How many batches may be under way to one of them."""

    def async_pool(self, host: str, port: int) -> Any:
        """Make a pool of connections to one of them."""


class ClusterWay:
    """To the nodes of a cluster, each over connections that all callers on the loop share.

    redis-py's client knows which node has which keys, and has a connection while it asks for that.
    What has moved is followed here. So one node that is away holds up nothing for the others.

    Args:
        nodes: Makes the connections.
        client: Knows who has which keys.
        departs: Called for each trip; what leaves for several nodes in one tick is one.
        patience: See `Lane`.
    """

    def __init__(
        self,
        nodes: Nodes,
        client: redis.asyncio.RedisCluster,
        departs: Callable[[], None],
        patience: float,
    ) -> None:
        self._nodes = nodes
        self._client = client
        self._slots = Slots(client, hangs_up=True)
        self._departs = departs
        self._patience = patience
        self._lanes: dict[tuple[str, int], Lane] = {}
        self._departed = False
        self._closed = False
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def in_doubt(self) -> bool:
        """See `Way.in_doubt`."""
        return self._slots.in_doubt

    async def ready(self) -> None:
        """See `Way.ready`."""
        self._refuse_if_closed()
        if await self._slots.ready():
            self._leave_those_gone()

    def doubt(self) -> None:
        """See `Way.doubt`."""
        self._slots.doubt()

    async def send(self, commands: Sequence[Command], key: str, node: Any) -> Outcome:
        """See `Way.send`."""
        parts: dict[Lane, list[int]] = {}
        for position, command in enumerate(commands):
            owner = node or self._owner(command)
            parts.setdefault(self._lane(owner.host, int(owner.port)), []).append(position)
        texts = [packed([commands[i] for i in positions]) for positions in parts.values()]
        sent = [
            lane.send(part, len(positions), key)
            for (lane, positions), part in zip(parts.items(), texts, strict=True)
        ]
        outcomes = [await sent[0]] if len(sent) == 1 else await asyncio.gather(*sent)
        replies: list[Any] = [None] * len(commands)
        for positions, outcome in zip(parts.values(), outcomes, strict=True):
            if isinstance(outcome, Exception):
                return outcome
            for position, reply in zip(positions, outcome, strict=True):
                replies[position] = reply
        return await self._follow(commands, replies)

    async def aclose(self) -> None:
        """See `Way.aclose`."""
        self._closed = True  # first, so that nobody opens a lane while these are closed
        await self._slots.settle()
        lanes = (lane.aclose() for lane in self._lanes.values())
        await asyncio.gather(*lanes, *self._closing)

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise MemoryClosedError

    def _owner(self, command: Command) -> Any:
        key = key_of(command)
        if key is None:
            return random.choice(self._client.get_primaries())  # noqa: S311 - it guards nothing
        return self._client.get_node_from_key(key)

    def _lane(self, host: str, port: int) -> Lane:
        lane = self._lanes.get((host, port))
        if lane is None:
            self._refuse_if_closed()
            pool = self._nodes.async_pool(host, port)
            lane = Lane(pool, self._nodes.limit, self._patience, self._depart)
            self._lanes[host, port] = lane
        return lane

    async def _follow(self, commands: Sequence[Command], replies: list[Any]) -> Outcome:
        """Send what is elsewhere to where it is: for good (MOVED), or for now (ASK)."""
        for position, command in enumerate(commands):
            for _ in range(_HOPS):
                reply = replies[position]
                if not isinstance(reply, redis_errors.AskError):
                    break
                moved = isinstance(reply, redis_errors.MovedError)
                if moved:
                    self.doubt()
                steps = [command] if moved else [("ASKING",), command]
                where = self._client.nodes_manager.remap_host_port(reply.host, reply.port)
                outcome = await self._lane(*where).send(packed(steps), len(steps))
                if isinstance(outcome, Exception):
                    return outcome
                replies[position] = outcome[-1]
        return replies

    def _leave_those_gone(self) -> None:
        known = {(node.host, int(node.port)) for node in self._client.get_nodes()}
        for place, lane in [*self._lanes.items()]:
            if place not in known and lane.idle:
                closing = asyncio.ensure_future(self._lanes.pop(place).aclose())
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)

    def _depart(self) -> None:
        if not self._departed:
            self._departed = True
            self._departs()
            asyncio.get_running_loop().call_soon(self._next_tick)

    def _next_tick(self) -> None:
        self._departed = False
