"""Topologies."""

from langchain_core.messages import AIMessage

from langchain_redis_memory import RedisMemory

CONFIG = {"configurable": {"session_id": "s1", "user_id": "alice"}}


async def test_it(cluster_servers, sentinel_servers):
    """Sync and async turns on a cluster and on a primary found by sentinels."""
    for servers in (cluster_servers, sentinel_servers):
        async with RedisMemory.from_url(servers.url, window=3) as memory:
            chat = memory.with_history(lambda ms: AIMessage(f"saw {len(ms)}"), agent="a")
            chat.invoke("hi", CONFIG)
            await chat.ainvoke("hi", CONFIG)
            assert memory.history("a", "alice", "s1").count() == 4
            store = memory.store("x")
            store.mset([(f"k{i}", b"v") for i in range(50)])
            assert len(set(store.yield_keys())) == 50
            assert len([key async for key in store.ayield_keys()]) == 50
