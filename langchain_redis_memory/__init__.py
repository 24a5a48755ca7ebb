"""Memory in Redis that LangChain agents can trust."""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from typing import TYPE_CHECKING

from langchain_redis_memory._version import __version__

if TYPE_CHECKING:
    from langchain_redis_memory.agents.middleware import RedisMemoryMiddleware
    from langchain_redis_memory.caching.cache import ExecutionCache
    from langchain_redis_memory.caching.llm_cache import RedisLLMCache
    from langchain_redis_memory.context import (
        ContextProvider,
        MemoryContext,
        ProfileContext,
        ThreadContext,
    )
    from langchain_redis_memory.errors import (
        CachedError,
        ConfigurationError,
        CorruptedDataError,
        ImportConflictError,
        MemoryClosedError,
        RedisMemoryError,
        StorageRejected,
        StorageUnavailable,
        TurnNotSavedError,
        UnstorableError,
    )
    from langchain_redis_memory.history import RedisChatMessageHistory
    from langchain_redis_memory.inspection.doctor import Diagnosis
    from langchain_redis_memory.inspection.figures import Stats
    from langchain_redis_memory.inspection.findings import Finding
    from langchain_redis_memory.inspection.walking import Walked
    from langchain_redis_memory.memory import RedisMemory
    from langchain_redis_memory.moving.restoring import Transfer
    from langchain_redis_memory.offline_model import OfflineChatModel
    from langchain_redis_memory.profiles.profile import Profile
    from langchain_redis_memory.runnable import RunnableWithRedisHistory
    from langchain_redis_memory.sessions.listing import SessionInfo, SessionPage
    from langchain_redis_memory.sessions.removing import Receipt
    from langchain_redis_memory.settings.memory_settings import MemorySettings
    from langchain_redis_memory.settings.redis_settings import RedisSettings
    from langchain_redis_memory.storage.retry import RetryPolicy
    from langchain_redis_memory.summaries.policy import SummaryPolicy
    from langchain_redis_memory.summaries.stored import Summary
    from langchain_redis_memory.window import Window

__all__ = [
    "CachedError",
    "ConfigurationError",
    "ContextProvider",
    "CorruptedDataError",
    "Diagnosis",
    "ExecutionCache",
    "Finding",
    "ImportConflictError",
    "MemoryClosedError",
    "MemoryContext",
    "MemorySettings",
    "OfflineChatModel",
    "Profile",
    "ProfileContext",
    "Receipt",
    "RedisChatMessageHistory",
    "RedisLLMCache",
    "RedisMemory",
    "RedisMemoryError",
    "RedisSettings",
    "RetryPolicy",
    "RunnableWithRedisHistory",
    "SessionInfo",
    "SessionPage",
    "Stats",
    "StorageRejected",
    "StorageUnavailable",
    "Summary",
    "SummaryPolicy",
    "ThreadContext",
    "Transfer",
    "TurnNotSavedError",
    "UnstorableError",
    "Walked",
    "Window",
    "__version__",
]
if find_spec("langchain"):  # an extra, without which "import *" is to work
    __all__ += ["RedisMemoryMiddleware"]

# A name is loaded when it is first used: some of them take LangChain's heavier parts along.
_HOMES = {
    "CachedError": "errors",
    "ConfigurationError": "errors",
    "ContextProvider": "context",
    "CorruptedDataError": "errors",
    "Diagnosis": "inspection.doctor",
    "Finding": "inspection.findings",
    "ImportConflictError": "errors",
    "ExecutionCache": "caching.cache",
    "MemoryClosedError": "errors",
    "MemoryContext": "context",
    "MemorySettings": "settings.memory_settings",
    "Receipt": "sessions.removing",
    "OfflineChatModel": "offline_model",
    "Profile": "profiles.profile",
    "ProfileContext": "context",
    "RedisChatMessageHistory": "history",
    "RedisLLMCache": "caching.llm_cache",
    "RedisMemory": "memory",
    "RedisMemoryError": "errors",
    "RedisMemoryMiddleware": "agents.middleware",
    "RedisSettings": "settings.redis_settings",
    "RetryPolicy": "storage.retry",
    "RunnableWithRedisHistory": "runnable",
    "SessionInfo": "sessions.listing",
    "SessionPage": "sessions.listing",
    "Stats": "inspection.figures",
    "StorageRejected": "errors",
    "StorageUnavailable": "errors",
    "Summary": "summaries.stored",
    "SummaryPolicy": "summaries.policy",
    "ThreadContext": "context",
    "Transfer": "moving.restoring",
    "TurnNotSavedError": "errors",
    "UnstorableError": "errors",
    "Walked": "inspection.walking",
    "Window": "window",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
