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
    Standing,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


def by_digest(operation: Operation[Any]) -> list[Command]:
    """Give the commands of an operation, its scripts by digest."""
    return [
        command.by_digest() if isinstance(command, ScriptCall) else command
        for command in operation.commands
    ]


def in_full(operation: Operation[Any], position: int) -> Command:
    """Give one of the commands, with its script in full."""
    command = operation.commands[position]
    return command.in_full() if isinstance(command, ScriptCall) else command


def as_bytes(command: Command) -> Command:
    """Give a command for redis-py's own clients, which may be set to another encoding."""
    name, *arguments = command
    return (name, *[part.encode() if isinstance(part, str) else part for part in arguments])


def packed(commands: Sequence[Command]) -> bytes:
    """Write commands as they go over the wire, in a third of the time that redis-py takes.

    Raises:
        redis.DataError: An argument is of the wrong type.
    """
    try:
        return b"".join([_on_the_wire(command) for command in commands])
    except TypeError as error:
        raise redis_errors.DataError(str(error)) from None  # as redis-py does; it names types


def _on_the_wire(command: Command) -> Any:
    if not isinstance(command, Standing):
        return hiredis.pack_command(_words(command))
    if command.wire is None:
        command.wire = hiredis.pack_command(_words(command))
    return command.wire


def _words(command: Command) -> Any:
    # A name may be of two words, which are sent as two.
    name = str(command[0])
    return (*name.split(), *command[1:]) if " " in name else command


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


def has_errors(replies: Sequence[Any]) -> bool:
    """Tell whether one of the replies is an error."""
    for reply in replies:  # noqa: SIM110 - `any` takes twice as long, of each trip
        if isinstance(reply, Exception):
            return True
    return False


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
