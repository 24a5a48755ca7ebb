"""Whether there is memory."""

from fastapi import APIRouter, Response

from langchain_redis_memory import RedisMemoryError, StorageUnavailable

from .schemas import Health
from .state import TheMemory

router = APIRouter(tags=["health"])


@router.get("/health", responses={503: {"model": Health, "description": "Requests fail."}})
async def health(memory: TheMemory, response: Response) -> Health:
    """Ask Redis.

    "memory": it answers. "stateless": it is away, and so are memories, but requests are answered.
    "down": it is away or refuses us, and requests fail.
    """
    try:
        await memory.aping()
    except StorageUnavailable:
        if not memory.available:  # it keeps watch, and goes on without
            return Health(status="stateless")
    except RedisMemoryError:
        pass
    else:
        return Health(status="memory")
    response.status_code = 503
    return Health(status="down")
