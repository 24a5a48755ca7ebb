"""Lua for the execution cache; see `langchain_redis_memory.scripts`.

An entry that is being computed holds a claim in place of its value: `@` and a token. Values are
JSON, and so never begin like that.
"""

from __future__ import annotations

from langchain_redis_memory.storage.operation import Script

CLAIM = Script(
    """
-- Arguments: claim, lease in ms. Returns the value that is there; 0 if the claim now holds; or for
-- how many ms another one still does, and which. One that never expires was left by no computation
-- of ours.
local key, mine = KEYS[1], ARGV[1]
local found = redis.call('GET', key)
if found and string.sub(found, 1, 1) ~= '@' then return found end
if found and found ~= mine then
  local left = redis.call('PTTL', key)
  if left > 0 then return {left, found} end
end
redis.call('SET', key, mine, 'PX', ARGV[2])
return 0
"""
)

KEEP_CLAIM = Script(
    """
-- Arguments: claim, lease in ms (0: give it up). Returns whether the claim still held.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then
  redis.call('UNLINK', KEYS[1])
else
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 1
"""
)

FULFIL_CLAIM = Script(
    """
-- Arguments: claim, value, time to live in ms (0: for ever). Where the claim is gone, the entry was
-- cleared meanwhile or is another's to compute: what was computed before that is not written back.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[3] == '0' then
  redis.call('SET', KEYS[1], ARGV[2])
else
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
return 1
"""
)
