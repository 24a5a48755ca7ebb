"""Lua for summaries; see `langchain_redis_memory.scripts`.

`WRITE` touches two keys, the list and its summary, which are in one slot.
"""

from __future__ import annotations

from langchain_redis_memory.storage.operation import Script

_POSITION = """
-- Where the first message stands that a summary does not cover, counted from the newest: the one
-- with this SHA-1 and so many bytes, that so many newer ones are equal to.
local function position(list, digest, bytes, twins)
  for from = 0, redis.call('LLEN', list) - 1, 100 do
    for offset, element in ipairs(redis.call('LRANGE', list, from, from + 99)) do
      if #element == bytes and redis.sha1hex(element) == digest then
        if twins == 0 then return from + offset - 1 end
        twins = twins - 1
      end
    end
  end
end
"""

LOCATE = Script(
    _POSITION
    + """
-- Arguments: SHA-1, bytes and twins. Returns the position, none if the message is not there.
return position(KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]))
"""
)

WRITE = Script(
    _POSITION
    + """
-- Keys: the list, its summary. Arguments: the SHA-1 of the summary that was read ('': there was
-- none), the new one; of the first message that it does not cover, SHA-1, bytes and twins; whether
-- what it covers is removed (1 or 0), the SHA-1 of a message that stays at the beginning in any
-- case ('': none). Returns 0, and has done nothing, if there is another summary by now, or the
-- message is gone, as when the session was cleared.
local list, summary, new = KEYS[1], KEYS[2], ARGV[2]
local current = redis.call('GET', summary)
if current == new then return 1 end   -- an earlier attempt stored it: no two are alike
if (current and redis.sha1hex(current) or '') ~= ARGV[1] then return 0 end
local last = position(list, ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]))
if not last then return 0 end
redis.call('SET', summary, new)
local left = redis.call('PTTL', list)
if left >= 0 then redis.call('PEXPIRE', summary, left) end
if ARGV[6] == '1' then
  local first = redis.call('LINDEX', list, -1)
  redis.call('LTRIM', list, 0, last)
  local cut = redis.call('LINDEX', list, -1) ~= first
  if cut and redis.sha1hex(first) == ARGV[7] then redis.call('RPUSH', list, first) end
end
return 1
"""
)

OUTLIVE = Script(
    """
-- Argument: time to live in ms (0: for ever). Lengthens the life of a summary, if there is one.
local left, ttl = redis.call('PTTL', KEYS[1]), tonumber(ARGV[1])
if left < 0 then return 0 end
if ttl == 0 then redis.call('PERSIST', KEYS[1]) end
if ttl > left then redis.call('PEXPIRE', KEYS[1], ttl) end
return 1
"""
)
