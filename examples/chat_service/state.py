"""What the routes share."""

from typing import Annotated

from fastapi import Depends, Request

from langchain_redis_memory import RedisMemory

from .chat import Chat


def _chat(request: Request) -> Chat:
    chat: Chat = request.app.state.chat
    return chat


def _memory(request: Request) -> RedisMemory:
    memory: RedisMemory = request.app.state.memory
    return memory


TheChat = Annotated[Chat, Depends(_chat)]
TheMemory = Annotated[RedisMemory, Depends(_memory)]
