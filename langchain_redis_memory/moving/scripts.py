"""Lua for moving conversations; see `langchain_redis_memory.scripts`."""

from __future__ import annotations

from langchain_redis_memory.scripts import OUTLIVE
from langchain_redis_memory.storage.operation import Script

RESTORE = Script(
    OUTLIVE
    + """
-- Arguments: how many messages were seen here, the newest of them, whether the elements take their
-- place or follow them (1 or 0), time to live in ms (0: for ever), elements from the oldest on.
-- Returns 0, and has done nothing, if something else is here by now.
local key = KEYS[1]
if redis.call('LLEN', key) ~= tonumber(ARGV[1]) then return 0 end
if (redis.call('LINDEX', key, 0) or '') ~= ARGV[2] then return 0 end
if ARGV[3] == '1' then redis.call('UNLINK', key) end
local left = redis.call('PTTL', key)
for from = 5, #ARGV, 1000 do
  redis.call('LPUSH', key, unpack(ARGV, from, math.min(from + 999, #ARGV)))
end
outlive(key, left, ARGV[4])
return 1
"""
)

RESTORE_INDEX = Script(
    OUTLIVE
    + """
-- Arguments: session, when it was last active in ms (empty: not known), time to live in ms (0: for
-- ever). What the index knows of a later activity stays.
local left = redis.call('PTTL', KEYS[1])
if ARGV[2] == '' then
  local now = redis.call('TIME')
  redis.call('ZADD', KEYS[1], 'NX', now[1] * 1000 + math.floor(now[2] / 1000), ARGV[1])
else
  redis.call('ZADD', KEYS[1], 'GT', ARGV[2], ARGV[1])
end
outlive(KEYS[1], left, ARGV[3])
return 1
"""
)

UNLINK_UNCHANGED = Script(
    """
-- Arguments: how many elements were read, at which end the newest stands (0 or -1), the newest.
-- Returns 0, and has done nothing, if there are others by now.
local count = redis.call('LLEN', KEYS[1])
if count == 0 then return 1 end
if count ~= tonumber(ARGV[1]) then return 0 end
if redis.call('LINDEX', KEYS[1], ARGV[2]) ~= ARGV[3] then return 0 end
return redis.call('UNLINK', KEYS[1])
"""
)
