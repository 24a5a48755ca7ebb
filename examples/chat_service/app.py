"""The application: routes, headers and the page around a memory and a model."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from langchain_core.language_models import BaseChatModel

from langchain_redis_memory import RedisMemory, StorageRejected, StorageUnavailable

from . import health, run, threads
from .body_limit import BodyLimit
from .chat import Chat
from .headers import SecurityHeaders
from .problems import handle_problems

_STATIC = Path(__file__).parent / "static"
_MAX_BODY = 128 * 1024
"""Bytes; a turn at its limits has some 100,000 if every character is written as an escape."""


def create_app(memory: RedisMemory, model: BaseChatModel) -> FastAPI:
    """Make the application.

    Args:
        memory: Where conversations are kept; it is closed when the application ends.
        model: What answers.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with memory:
            with suppress(StorageUnavailable, StorageRejected):
                await memory.aping()  # connects, or starts the embedded server
            yield

    app = FastAPI(
        title="Chat service",
        summary="Conversations with an agent that remembers them.",
        version="1",
        lifespan=lifespan,
        docs_url=None,  # these pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,  # a path that ends with one names something with an empty id
    )
    app.state.memory = memory
    app.state.chat = Chat(memory, model)
    app.add_middleware(BodyLimit, limit=_MAX_BODY)
    app.add_middleware(SecurityHeaders)
    handle_problems(app)
    for part in (run, threads, health):
        app.include_router(part.router)
    app.add_api_route("/", _page, include_in_schema=False)
    app.mount("/static", StaticFiles(directory=_STATIC))
    return app


async def _page() -> FileResponse:
    return FileResponse(_STATIC / "index.html")
