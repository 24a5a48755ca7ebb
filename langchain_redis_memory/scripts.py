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
local function role_of(element)
  local kind = string.sub(element, 1, 11) == '{"append":"'   -- a token has 32 digits
          and string.match(element, '^","type":"(%a+)"', 44)
      or string.match(element, '^{"append": ?"%x+", ?"type": ?"(%a+)"')
      or string.match(element, '^{"type": ?"(%a+)"')
      or tostring(decoded(element).type)
  if kind == 'human' or kind == 'HumanMessageChunk' then return 'user' end
  if kind == 'chat' or kind == 'ChatMessageChunk' then
    local data = decoded(element).data
    local role = type(data) == 'table' and data.role
    return (role == 'user' or role == 'human') and 'user' or 'other'
  end
  if string.find(kind, '^[tT]ool') or string.find(kind, '^[fF]unction') then return 'result' end
  if string.find(kind, '^[sS]ystem') then return 'system' end
  return kind == 'nil' and 'damaged' or 'other'
end
local function opens_turn(role, index)   -- role(0) is the newest's, role(1) the one before
  if role(index) ~= 'user' or role(index + 1) == 'user' then return false end
  for later = index - 1, 0, -1 do
    -- A result that follows the user directly answers a call from before.
    if role(later) ~= 'user' then return role(later) ~= 'result' end
  end
  return true
end
"""

APPEND = Script(
    """
-- Arguments: how many of the newest elements can hold a repeat (0: all; -1: all, told by the token
-- alone), messages to keep (0: all), whether a leading system message is kept, time to live in ms
-- (0: for ever), elements from the oldest on, as `storage.codec` writes them.
local key, keep, length = KEYS[1], tonumber(ARGV[2]), 0
if ARGV[1] ~= '-1' then   -- the newest of the elements, which trimming removes last
  if redis.call('LPOS', key, ARGV[#ARGV], 'MAXLEN', ARGV[1]) then return 0 end
else
  local spelled = '^{"append": ?"(%x+)"'
  local token = string.match(ARGV[#ARGV], spelled)
  for from = 0, redis.call('LLEN', key), 500 do
    for _, element in ipairs(redis.call('LRANGE', key, from, from + 499)) do
      if string.match(element, spelled) == token then return 0 end
    end
  end
end
for from = 5, #ARGV, 1000 do
  length = redis.call('LPUSH', key, unpack(ARGV, from, math.min(from + 999, #ARGV)))
end

if keep > 0 and length > keep then
"""
    + _TURNS
    + """
  local roles, step, newer = {}, 2, true   -- fetched in growing steps, first towards the newest
  local function role(index)
    if index < 0 or index >= length then return nil end
    if not roles[index] then
      local from = newer and math.max(index - step, 0) or index
      for offset, element in ipairs(redis.call('LRANGE', key, from, from + step + 1)) do
        roles[from + offset - 1] = roles[from + offset - 1] or role_of(element)
      end
      step = math.min(step * 4, 128)
    end
    return roles[index]
  end
  local function last_to_keep(room)
    for index = room - 1, 0, -1 do
      if opens_turn(role, index) then return index end
    end
    newer = false
    for index = room, length - 1 do   -- the newest turn alone is larger: it is kept whole
      if opens_turn(role, index) then return index end
    end
    for index = room - 1, 0, -1 do    -- no user speaks here: cut anywhere but before a result
      if role(index) ~= 'result' then return index end
    end
    for index = room, length - 1 do
      if role(index) ~= 'result' then return index end
    end
    return room - 1
  end
  local first = redis.call('LINDEX', key, -1)
  local pinned = ARGV[3] == '1' and role_of(first) == 'system'
  local last = last_to_keep(pinned and math.max(keep - 1, 1) or keep)
  redis.call('LTRIM', key, 0, last)
  if pinned and last < length - 1 then redis.call('RPUSH', key, first) end
end

if ARGV[4] ~= '0' then redis.call('PEXPIRE', key, ARGV[4]) else redis.call('PERSIST', key) end
return 1
"""
)

READ_WINDOW = Script(
    _TURNS
    + r"""
-- Arguments: how many messages, how many bytes (0: any number), time to live in ms (0: leave it),
-- what to choose (0: nothing, 1: whole turns of as many messages, 2: the same, leaving room for a
-- leading system message), ids to look for, as JSON. Returns the length of the list, its oldest
-- element, whether turns were chosen, and their elements; if none were, of the newest elements as
-- many as the limits say, and so many more as hold the beginning of a turn and what stands before
-- it; then, if ids are given, elements that may have them.
local key, reach, room = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local found = redis.call('LRANGE', key, 0, room > 0 and math.min(reach, 15) or ARGV[1])
local length, oldest = redis.call('LLEN', key), redis.call('LINDEX', key, -1)
local function fetch(count)
  local elements = redis.call('LRANGE', key, #found, #found + math.min(count, 100) - 1)
  local bytes = 0
  for _, element in ipairs(elements) do
    found[#found + 1] = element
    bytes = bytes + #element
  end
  return bytes
end
if room > 0 then
  local bytes = 0
  for _, element in ipairs(found) do bytes = bytes + #element end
  while #found < length and #found <= reach and bytes <= room do
    local likely = math.ceil((room + 1 - bytes) * #found / bytes)
    bytes = bytes + fetch(math.min(reach + 1 - #found, likely))
  end
end

local roles = {}
local function role(index)
  if found[index + 1] and not roles[index] then roles[index] = role_of(found[index + 1]) end
  return roles[index]
end
local function choose()
  if ARGV[4] == '0' or #found <= reach then return 0 end
  local pinned = ARGV[4] == '2' and role_of(oldest) == 'system'
  for index = reach - (pinned and 2 or 1), 0, -1 do
    if role(index) == 'damaged' then return 0 end   -- the reader will tell
    if opens_turn(role, index) then
      for last = #found, index + 2, -1 do found[last] = nil end
      return 1
    end
  end
  return 0
end
local function has_turn(from)
  for index = from, #found - 2 do
    if opens_turn(role, index) then return true end
  end
  return false
end
local chosen, from = choose(), 0
while chosen == 0 and #found < length and not has_turn(from) do
  from = #found - 1
  fetch(reach + 1)
end
if ARGV[3] ~= '0' then redis.call('PEXPIRE', key, ARGV[3]) end
if #ARGV == 4 then return {length, oldest, chosen, found} end

-- An id is sought by its text as JSON, as far as the next quotation mark. Each has its place among
-- the arguments: of those that stand before one that was found, none need be found.
local wanted, places, first, candidates = {}, {}, 5, {}
for place = 5, #ARGV do
  wanted[string.match(ARGV[place], '^"([^"]*)')] = place
  local ok, id = pcall(cjson.decode, '[' .. ARGV[place] .. ']')
  if ok then places[id[1]] = place end
end
local find, sub = string.find, string.sub
local function is_wanted(text)
  return (wanted[text] or 0) >= first
end
local function has_one(element)
  local ok, message = pcall(cjson.decode, element)
  if not ok then return true end   -- the reader will tell
  local data = type(message) == 'table' and message.data
  local place = type(data) == 'table' and places[data.id] or 0
  if place < first then return false end
  first = place + 1
  return true
end
local function may_have_one(element)
  if find(element, '^{"append":"') then   -- `storage.codec` spells an id in one way
    local _, at = find(element, 'id":"', 1, true)
    while at do
      local closing = find(element, '"', at + 1, true) or #element
      if is_wanted(sub(element, at + 1, closing - 1)) then return has_one(element) end
      _, at = find(element, 'id":"', closing, true)
    end
    return false
  end
  -- Others may escape what they like, or write UTF-16.
  if find(element, '\0', 1, true) or find(element, 'u0069', 1, true)
      or find(element, 'u0064', 1, true) then
    return true
  end
  local _, at = find(element, 'id"', 1, true)
  while at do
    local text, closing = string.match(element, '^%s*:%s*"([^"\\]*)(.)', at + 1)
    if closing == '\\' then return true end
    if text and is_wanted(text) then return has_one(element) end
    _, at = find(element, 'id"', at + 1, true)
  end
  return false
end
for from = 0, length - 1, 100 do
  if first > #ARGV then break end
  for _, element in ipairs(redis.call('LRANGE', key, from, from + 99)) do
    if may_have_one(element) then candidates[#candidates + 1] = element end
  end
end
return {length, oldest, chosen, found, candidates}
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
-- Never shortens a life. Arguments: what PTTL said before, time to live in ms, as a text.
local function outlive(key, left, ttl)
  if ttl == '0' then
    redis.call('PERSIST', key)
  elseif left == -2 or (left >= 0 and left < tonumber(ttl)) then
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
outlive(KEYS[1], left, ARGV[2])
return 1
"""
)

EXTEND_INDEX = Script(
    """
-- Argument: time to live in ms. As EXPIRE with GT, which came with Redis 7.0.
local left = redis.call('PTTL', KEYS[1])
if left >= 0 and left < tonumber(ARGV[1]) then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return 1
"""
)
