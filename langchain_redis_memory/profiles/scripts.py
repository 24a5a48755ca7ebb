"""Lua for profiles; see `langchain_redis_memory.scripts`."""

from __future__ import annotations

from langchain_redis_memory.storage.operation import Script

READ = Script(
    """
-- Argument: time to live in ms, which begins anew. GET is an error for a key of another type, which
-- is not to expire because somebody tried to read it.
local found = redis.call('GET', KEYS[1])
if found then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return found
"""
)

REPLACE = Script(
    """
-- Arguments: the SHA-1 of what stood there when it was read ('': nothing did), the new value, time
-- to live in ms (0: for ever), what to answer when something else stands there now.
local key, new, ttl = KEYS[1], ARGV[2], tonumber(ARGV[3])
local current = redis.call('GET', key)
if current == new then return 1 end   -- an earlier attempt stored it: no two writes are alike
if (current and redis.sha1hex(current) or '') ~= ARGV[1] then return tonumber(ARGV[4]) end
if ttl > 0 then redis.call('SET', key, new, 'PX', ttl) else redis.call('SET', key, new) end
return 1
"""
)
