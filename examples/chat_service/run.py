"""Answering: in one piece, and as server-sent events."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from langchain_redis_memory import RedisMemoryError

from .chat import Done, ModelFailedError, Token
from .problems import documented, explain
from .schemas import Reply, RunRequest
from .state import TheChat

router = APIRouter(tags=["run"])

_PROBLEMS = documented(400, 413, 422, 502, 503)

_EVENT_SCHEMA = {
    "type": "object",
    "properties": {
        "event": {"enum": ["token", "done", "error"]},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
    "required": ["event", "data"],
}


@router.post("/run", responses=_PROBLEMS)
async def run(request: RunRequest, chat: TheChat) -> Reply:
    """Answer in one piece."""
    return await chat.answer(request)


class EventStream(StreamingResponse):
    """Server-sent events, which close what they come from when the reader has gone."""

    media_type = "text/event-stream"

    def __init__(self, first: Token | Done, more: AsyncGenerator[Token | Done]) -> None:
        self._events = more
        self._lines = _lines(first, more)
        # A proxy that gathers the answer before it passes it on would spoil it.
        super().__init__(self._lines, headers={"X-Accel-Buffering": "no"})

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Starlette leaves it to the garbage collector.
        async with aclosing(self._events), aclosing(self._lines):
            await super().__call__(scope, receive, send)


@router.post(
    "/run/stream",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": 'Events "token" with {"text"}, then "done" with {"memory"} or "error" '
            'with {"detail"}.',
            "content": {"text/event-stream": {"itemSchema": _EVENT_SCHEMA}},
        },
        **_PROBLEMS,
    },
)
async def run_stream(request: RunRequest, chat: TheChat) -> EventStream:
    """Answer piece by piece.

    A reader who leaves before the end leaves in the conversation what was said and what was sent.
    """
    events = chat.stream(request)
    # What fails before the first piece has a status of its own.
    return EventStream(await anext(events), events)


async def _lines(first: Token | Done, more: AsyncGenerator[Token | Done]) -> AsyncGenerator[str]:
    yield _event(first)
    try:
        async for event in more:
            yield _event(event)
    except (RedisMemoryError, ModelFailedError) as error:
        _, detail = explain(error)
        yield _line("error", {"detail": detail})


def _event(event: Token | Done) -> str:
    if isinstance(event, Token):
        return _line("token", {"text": event.text})
    return _line("done", {"memory": event.memory})


def _line(name: str, data: dict[str, Any]) -> str:
    # JSON holds no line break, which would end the event.
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"
