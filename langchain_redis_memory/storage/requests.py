"""What an operation is on the wire: its commands, and what is made of the replies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import hiredis
import redis.asyncio
from redis import exceptions as redis_errors

from langchain_redis_memory.errors import StorageRejected
from langchain_redis_memory.storage.failures import translate
from langchain_redis_memory.storage.operation import (
    Command,
    Layout,
    NodeGoneError,
    Operation,
    ScriptCall,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


def by_digest(operation: Operation[Any]) -> list[Command]:
    """Give the commands of an operation, its scripts by digest."""
    return [
        _as_bytes(command.by_digest() if isinstance(command, ScriptCall) else command)
        for command in operation.commands
    ]


def in_full(operation: Operation[Any], position: int) -> Command:
    """Give one of the commands, with its script in full."""
    command = operation.commands[position]
    return _as_bytes(command.in_full() if isinstance(command, ScriptCall) else command)


def _as_bytes(command: Command) -> Command:
    # A client that was passed in may be set to another encoding.
    name, *arguments = command
    return (name, *[part.encode() if isinstance(part, str) else part for part in arguments])


def packed(commands: Sequence[Command]) -> bytes:
    """Write commands as they go over the wire, in a third of the time that redis-py takes.

    Raises:
        redis.DataError: An argument is of the wrong type.
    """
    # A name may be of two words, which are sent as two.
    words: Any = [(*str(name).split(), *arguments) for name, *arguments in commands]
    try:
        return b"".join(map(hiredis.pack_command, words))
    except TypeError as error:
        raise redis_errors.DataError(str(error)) from None  # as redis-py does; it names types


def key_of(command: Command) -> Any:
    """Give the key of a command, by which a cluster is asked for its node; None if it has none."""
    if len(command) == 1:
        return None
    return command[3 if command[0] in ("EVAL", "EVALSHA") else 1]


def unknown_scripts(replies: Sequence[Any]) -> list[int]:
    """Tell which commands named a script that the server does not have, as after a restart."""
    return [i for i, reply in enumerate(replies) if isinstance(reply, redis_errors.NoScriptError)]


def replace(replies: list[Any], positions: Sequence[int], later: Sequence[Any]) -> None:
    """Put later replies in the place of earlier ones."""
    for position, reply in zip(positions, later, strict=True):
        replies[position] = reply


def checked(replies: list[Any], operation: Operation[Any], address: str) -> list[Any]:
    """Give the replies, unless one of them is an error that the operation does not take."""
    for position, reply in enumerate(replies):
        if isinstance(reply, Exception):
            error = translate(reply, operation.part(position), address)
            if not (operation.takes_refusals and isinstance(error, StorageRejected)):
                raise error from reply
            replies[position] = error
    return replies


def layout_of(client: Any) -> Layout:
    """Tell which nodes of a cluster hold keys, as its client knows; a single server is None."""
    if not isinstance(client, redis.RedisCluster | redis.asyncio.RedisCluster):
        return Layout((None,))
    slots: dict[int, Any] = client.nodes_manager.slots_cache
    owners = hash(tuple((slot, nodes[0].name) for slot, nodes in sorted(slots.items())))
    primaries = tuple(client.get_primaries())
    some = {nodes[0].name: slot for slot, nodes in slots.items()}
    return Layout(primaries, owners, tuple(some.get(node.name) for node in primaries))


def refuse_if_gone(node: Any, client: Any) -> None:
    """Refuse to ask a node that is no primary any more.

    Raises:
        NodeGoneError: It is none.
    """
    if node is not None and node.name not in {known.name for known in client.get_primaries()}:
        raise NodeGoneError(f"{node.name} is no primary any more")
