"""A user's conversations: list, read, delete."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query
from langchain_core.messages import BaseMessage

from langchain_redis_memory import SessionInfo

from .problems import documented
from .schemas import Conversation, Id, Message, Thread, Threads, is_id, readable
from .state import TheMemory

router = APIRouter(prefix="/users/{user_id}/agents/{agent_name}/threads", tags=["threads"])

_ROLES = {"human": "user", "ai": "assistant"}

Limit = Annotated[int, Query(ge=1, le=100, description="How many at most.")]
After = Annotated[
    str | None,
    Query(
        max_length=1000, pattern="^[0-9]{1,16}:.+$", description="The `next` of the page before."
    ),
]


@router.get("", responses=documented(422, 503))
async def list_threads(
    user_id: Id,
    agent_name: Id,
    memory: TheMemory,
    limit: Limit = 50,
    after: After = None,
) -> Threads:
    """List conversations, the one that was active last first; without memory there are none."""
    page = await memory.asessions(agent_name, user_id, limit=limit, after=after)
    # Other programs may have stored under ids that the paths of this service cannot name.
    threads = [_thread(info) for info in page if is_id(info.session)]
    return Threads(memory=memory.available, threads=threads, next=page.next)


@router.get("/{thread_id}", responses=documented(404, 422, 503))
async def read_thread(
    user_id: Id, agent_name: Id, thread_id: Id, memory: TheMemory
) -> Conversation:
    """Give what was said, oldest first; without memory that is nothing."""
    conversation = memory.conversation(agent_name, user_id, thread_id, window=None)
    messages = (await conversation.aread()).messages
    has_memory = memory.available
    if has_memory and not messages:
        raise HTTPException(404, "There is no such conversation; it may have expired.")
    shown = [_message(message) for message in messages if message.type in _ROLES]
    return Conversation(memory=has_memory, messages=shown)


@router.delete("/{thread_id}", status_code=204, responses=documented(422, 503))
async def delete_thread(user_id: Id, agent_name: Id, thread_id: Id, memory: TheMemory) -> None:
    """Delete a conversation, if it is there; without Redis that is refused."""
    await memory.conversation(agent_name, user_id, thread_id).aclear()


def _thread(info: SessionInfo) -> Thread:
    return Thread(
        thread_id=info.session,
        messages=info.messages,
        last_active=info.last_active,
        expires_in=info.ttl,
    )


def _message(message: BaseMessage) -> Message:
    return Message(
        role="user" if message.type == "human" else "assistant",
        text=readable(message.text),
        interrupted=bool(message.response_metadata.get("interrupted")),
    )
