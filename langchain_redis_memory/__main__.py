"""``python -m langchain_redis_memory`` is the command ``langchain-redis-memory``."""

from langchain_redis_memory.cli import main

if __name__ == "__main__":
    main()
