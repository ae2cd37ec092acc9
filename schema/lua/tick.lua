-- tick: what a crash, a retry or a lost schedule left behind, claimed for this instance; and when to look again.
--
-- Due retries first, then parked entries (see enter.lua) where there are slots for them, then pending entries idle for longer than a lease lives (XAUTOCLAIM, JUSTID: bodies are
-- read by id, because Redis 6.2 answers nil without an id for a deleted one). A retry is struck from the
-- schedule when claimed: the entry stays pending, so losing the claimer loses nothing.
--
-- KEYS  webhooks, retries, parked
-- ARGV  group, instance, least idle time (ms), most entries, XAUTOCLAIM cursor, most parked entries
-- reply {[ [id, [fields...]]... ], [ids lost from the stream...], next cursor, number pending,
--        ms until there may be more to do, or -1 for never, number still parked}
local webhooks, retries, parked = KEYS[1], KEYS[2], KEYS[3]
local most_parked = tonumber(ARGV[6])
local group, instance, min_idle, most, cursor = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local SAMPLE = 100

local now = now_ms()
local entries, lost = {}, {}
local function take(id)
  if tonumber(redis.call('ZSCORE', retries, id) or '0') > now or redis.call('ZSCORE', parked, id) then return end
  local body = body_of(webhooks, id)
  if body then entries[#entries + 1] = {id, body} else lost[#lost + 1] = id end
end

for _, id in ipairs(redis.call('ZRANGEBYSCORE', retries, '-inf', now, 'LIMIT', 0, most)) do
  redis.call('ZREM', retries, id)
  if owner_of(webhooks, group, id) then
    redis.call('XCLAIM', webhooks, group, instance, 0, id, 'JUSTID')
    take(id)
  end
end

for _ = 1, math.min(most_parked, most - #entries) do
  local id = redis.call('ZPOPMIN', parked)[1]
  if not id then break end
  if owner_of(webhooks, group, id) then
    redis.call('XCLAIM', webhooks, group, instance, 0, id, 'JUSTID')
    take(id)
  end
end
local still_parked = redis.call('ZCARD', parked)

if #entries < most then
  -- Hundreds may be parked: with them in the way, more are claimed at once, and those too many given to anybody.
  local count = math.max(most - #entries, math.min(still_parked, SAMPLE))
  local reply = redis.call('XAUTOCLAIM', webhooks, group, instance, min_idle, cursor, 'COUNT', count, 'JUSTID')
  cursor = reply[1]
  for _, id in ipairs(reply[2]) do
    if #entries < most then
      take(id)
    elseif not redis.call('ZSCORE', parked, id) then
      redis.call('ZADD', retries, 'NX', now, id)
    end
  end
  -- Redis 7 and later drop deleted entries from the pending entries list here and name them.
  for _, id in ipairs(reply[3] or {}) do lost[#lost + 1] = id end
end

local pending = redis.call('XPENDING', webhooks, group)[1]
local wait = -1
local function sooner(ms)
  ms = math.max(ms, 0)
  if wait < 0 or ms < wait then wait = ms end
end
local first = redis.call('ZRANGE', retries, 0, 0, 'WITHSCORES')
if first[2] then sooner(tonumber(first[2]) - now) end
if pending > 0 then
  for _, row in ipairs(redis.call('XPENDING', webhooks, group, '-', '+', SAMPLE)) do
    sooner(min_idle - tonumber(row[3]) + 1)
  end
  if pending > SAMPLE then sooner(min_idle / 4) end
end
if cursor ~= '0-0' then wait = 0 end
return {entries, lost, cursor, pending, math.floor(wait), still_parked}
