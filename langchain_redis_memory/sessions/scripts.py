"""Lua for sessions; see `langchain_redis_memory.scripts`."""

from __future__ import annotations

from langchain_redis_memory.storage.operation import Script

INDEX_PAGE = Script(
    """
-- Arguments: the score to go on from, how many. Returns members and scores: all that have this
-- score, of which the caller knows where it was, and some of those below it.
local key, from, count = KEYS[1], ARGV[1], ARGV[2]
local found = {}
if from ~= '+inf' then found = redis.call('ZREVRANGEBYSCORE', key, from, from, 'WITHSCORES') end
local below = redis.call('ZREVRANGEBYSCORE', key, '(' .. from, '-inf', 'WITHSCORES',
                         'LIMIT', 0, count)
for _, part in ipairs(below) do found[#found + 1] = part end
return found
"""
)

STATE = Script(
    """
-- Returns how many messages each session has, and its time to live in ms; what is no list is gone.
local found = {}
for i, key in ipairs(KEYS) do
  local messages = redis.pcall('LLEN', key)
  local is_list = type(messages) == 'number'
  found[2 * i - 1] = is_list and messages or 0
  found[2 * i] = is_list and redis.call('PTTL', key) or -2
end
return found
"""
)

SIZE = Script(
    """
-- Returns how many messages a key holds, none if it is no list, and its time to live in ms.
local messages = redis.pcall('LLEN', KEYS[1])
return {type(messages) == 'number' and messages or 0, redis.call('PTTL', KEYS[1])}
"""
)

FORGET_EXPIRED = Script(
    """
-- Arguments: members and the scores that they had when their sessions were gone. One that has been
-- written to since then has another score, and stays.
for i = 1, #ARGV, 2 do
  if redis.call('ZSCORE', KEYS[1], ARGV[i]) == ARGV[i + 1] then
    redis.call('ZREM', KEYS[1], ARGV[i])
  end
end
return 1
"""
)

CREATE = Script(
    """
-- Arguments: time to live in ms (0: for ever), whether an earlier attempt may have made it (1) and
-- somebody may have gone on from there, elements from the oldest on. Returns 0 if there is
-- something else.
local key, ttl, repeated = KEYS[1], tonumber(ARGV[1]), ARGV[2] == '1'
local there, given = redis.call('LLEN', key), #ARGV - 2
if there > 0 then
  if there < given or (there > given and not repeated) then return 0 end
  for i, element in ipairs(redis.call('LRANGE', key, -given, -1)) do
    if element ~= ARGV[#ARGV + 1 - i] then return 0 end
  end
else
  for i = 3, #ARGV do redis.call('LPUSH', key, ARGV[i]) end
end
if ttl > 0 then redis.call('PEXPIRE', key, ttl) else redis.call('PERSIST', key) end
return 1
"""
)

EMPTY_INDEX = Script(
    """
-- Argument: how many. Removes so many of the members, and returns them.
local members = redis.pcall('ZREVRANGEBYSCORE', KEYS[1], '+inf', '-inf', 'LIMIT', 0, ARGV[1])
if members.err then   -- somebody has put something else there
  redis.call('UNLINK', KEYS[1])
  return {}
end
for _, member in ipairs(members) do redis.call('ZREM', KEYS[1], member) end
return members
"""
)
