"""Memory for LangChain's agents; needs the extra ``agents``."""

from langchain_redis_memory.errors import ConfigurationError

try:
    from langchain.agents.middleware.types import ExtendedModelResponse as _ExtendedModelResponse
except ImportError as error:
    raise ConfigurationError(
        "RedisMemoryMiddleware needs langchain 1.4 or later, which is optional; install it with "
        'pip install "langchain-redis-memory[agents]"'
    ) from error
del _ExtendedModelResponse
