"""The Lua that runs in Redis, where reading and writing must be one step.

Each script touches one key, so that it runs on a cluster, and uses core commands of Redis 6.2.
"""

from __future__ import annotations

from langchain_redis_memory.storage.operation import Script

# How elements begin is `storage.codec`'s and langchain-community's: {"append": "…", "type": "…",
# or {"type": "…"; others are parsed. The rule for a turn is the one of `window`.
_TURNS = """
local function decoded(element)
  local ok, message = pcall(cjson.decode, element)
  return ok and type(message) == 'table' and message or {}
end
local function kind_of(element)
  return string.match(element, '^{"type": ?"(%a+)"')
      or string.match(element, '^{"append": ?"%x+", ?"type": ?"(%a+)"')
      or tostring(decoded(element).type)
end
local function by_user(element)
  local kind = kind_of(element)
  if kind ~= 'chat' and kind ~= 'ChatMessageChunk' then
    return kind == 'human' or kind == 'HumanMessageChunk'
  end
  local data = decoded(element).data
  local role = type(data) == 'table' and data.role
  return role == 'user' or role == 'human'
end
local function is_result(element)
  local kind = kind_of(element)
  return string.find(kind, '^[tT]ool') or string.find(kind, '^[fF]unction')
end
local function opens_turn(at, index)   -- at(0) is the newest element, at(1) the one before it
  if not by_user(at(index)) then return false end
  local before = at(index + 1)
  if before and by_user(before) then return false end
  for later = index - 1, 0, -1 do
    -- A result that follows the user directly answers a call from before.
    if not by_user(at(later)) then return not is_result(at(later)) end
  end
  return true
end
"""

APPEND = Script(
    _TURNS
    + """
-- Arguments: token, how many of the newest elements can hold a repeat (0: all; -1: all, told by the
-- token alone), messages to keep (0: all), whether a leading system message is kept, time to live
-- in ms (0: for ever), elements from the oldest on.
local key, token, depth, keep = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local function is_there()
  if depth >= 0 then   -- the newest of the elements, which trimming removes last
    return redis.call('LPOS', key, ARGV[#ARGV], 'MAXLEN', depth)
  end
  for from = 0, redis.call('LLEN', key), 500 do
    for _, element in ipairs(redis.call('LRANGE', key, from, from + 499)) do
      if string.match(element, '^{"append": ?"(%x+)"') == token then return true end
    end
  end
end
if is_there() then return 0 end
for from = 6, #ARGV, 1000 do
  redis.call('LPUSH', key, unpack(ARGV, from, math.min(from + 999, #ARGV)))
end

local function at(index) return redis.call('LINDEX', key, index) end
local function oldest_to_keep(length, room)
  for index = room - 1, 0, -1 do
    if opens_turn(at, index) then return index end
  end
  for index = room, length - 1 do   -- the newest turn alone is larger: it is kept whole
    if opens_turn(at, index) then return index end
  end
  for index = room - 1, 0, -1 do    -- no user speaks here: cut anywhere but before a result
    if not is_result(at(index)) then return index end
  end
  for index = room, length - 1 do
    if not is_result(at(index)) then return index end
  end
  return room - 1
end

local length = redis.call('LLEN', key)
if keep > 0 and length > keep then
  local first = at(-1)
  local pinned = ARGV[4] == '1' and string.find(kind_of(first), '^[sS]ystem')
  local last = oldest_to_keep(length, pinned and math.max(keep - 1, 1) or keep)
  redis.call('LTRIM', key, 0, last)
  if pinned and last < length - 1 then redis.call('RPUSH', key, first) end
end

local ttl = tonumber(ARGV[5])
if ttl > 0 then redis.call('PEXPIRE', key, ttl) else redis.call('PERSIST', key) end
return 1
"""
)

READ_WINDOW = Script(
    _TURNS
    + """
-- Arguments: how many messages, time to live in ms (0: leave it). Returns the length of the list,
-- its oldest element and at least so many of the newest elements as hold the beginning of a turn
-- and what stands before it.
local key, reach, ttl = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local found = redis.call('LRANGE', key, 0, reach)
local length = redis.call('LLEN', key)
local function at(index) return found[index + 1] end
local function has_turn(from)
  for index = from, #found - 2 do
    if opens_turn(at, index) then return true end
  end
  return false
end
local from = 0
while #found < length and not has_turn(from) do
  from = #found - 1
  for _, element in ipairs(redis.call('LRANGE', key, #found, #found + reach)) do
    found[#found + 1] = element
  end
end
if ttl > 0 then redis.call('PEXPIRE', key, ttl) end
return {length, redis.call('LINDEX', key, -1), found}
"""
)

EXTEND = Script(
    """
-- Argument: time to live in ms. LLEN is an error for a key that is none of ours, which is not to
-- expire because somebody tried to read it.
redis.call('LLEN', KEYS[1])
return redis.call('PEXPIRE', KEYS[1], ARGV[1])
"""
)

OUTLIVE = """
local function outlive(key, left, ttl)   -- left: what PTTL said before; never shorten a life
  if ttl == 0 then
    redis.call('PERSIST', key)
  elseif left == -2 or (left >= 0 and left < ttl) then
    redis.call('PEXPIRE', key, ttl)
  end
end
"""

TOUCH_INDEX = Script(
    OUTLIVE
    + """
-- Arguments: session, time to live in ms (0: for ever). The index lives as long as the session
-- that lives longest.
local left = redis.call('PTTL', KEYS[1])
local now = redis.call('TIME')
redis.call('ZADD', KEYS[1], now[1] * 1000 + math.floor(now[2] / 1000), ARGV[1])
outlive(KEYS[1], left, tonumber(ARGV[2]))
return 1
"""
)

EXTEND_INDEX = Script(
    """
-- Argument: time to live in ms. As EXPIRE with GT, which came with Redis 7.0.
local left, ttl = redis.call('PTTL', KEYS[1]), tonumber(ARGV[1])
if left >= 0 and left < ttl then redis.call('PEXPIRE', KEYS[1], ttl) end
return 1
"""
)
