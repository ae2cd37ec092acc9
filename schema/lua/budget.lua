-- budget: a call to an outside API asks for its turn. One row per API for the whole fleet, by priority and
-- arrival, evenly spaced (GCRA), by Redis time; and the API's circuit breaker, so that no call needs to ask twice.
--
-- Whoever is told to wait asks again when its estimate has passed. A turn goes to the first of those who are up
-- (asking now, or due to ask about now); sleepers never hold it up, and one who did not come back (a crash) is
-- passed over after a grace. Every SHARE-th turn that would pass over someone older goes to the one who has
-- waited longest: no priority starves.
--
-- KEYS  budget (hash: free, seq, passed; the breaker: half, calls, bad, calls0, bad0, open, opened, probe,
--       probe_until), row (ticket by priority and arrival), seen (hash: when each ticket will ask again)
-- ARGV  ticket, priority, interval between calls (ms; 0 = no limit), lateness that does not push the next call
--       back (ms), life of a probe (ms), half of the breaker's window (ms)
-- reply {'go', 1 if it is the probe | 0} | {'wait', ms} | {'open', ms}
local budget, row, seen = KEYS[1], KEYS[2], KEYS[3]
local ticket, priority, interval, tolerance, probe_ms, half_ms = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]),
  tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local SHARE, GRACE_MS, KEEP_MS, PROBE_LOOK_MS, RANK = 10, 300, 3600000, 15000, 1e12

local now = now_ms()
local function get(field)
  return tonumber(redis.call('HGET', budget, field) or '0')
end

local function leave()
  redis.call('ZREM', row, ticket)
  redis.call('HDEL', seen, ticket)
end

local function keep(ms)
  for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, math.ceil(ms + KEEP_MS)) end
end

local function go(probing)
  turn_window(budget, now, half_ms)
  redis.call('HINCRBY', budget, 'calls', 1)
  if probing then
    redis.call('HSET', budget, 'probe', ticket, 'probe_until', string.format('%.0f', now + probe_ms))
  end
  return {'go', probing and 1 or 0}
end

local open, probing = get('open'), false
if open > 0 then
  local probed = redis.call('HGET', budget, 'probe') ~= ticket and get('probe_until') or 0
  -- A probe is usually over long before its life is: look again a little earlier.
  probed = math.min(probed, now + PROBE_LOOK_MS)
  if now < math.max(open, probed) then
    leave()
    return {'open', math.ceil(math.max(open, probed) - now)}
  end
  probing = true
end

local free = get('free')
if interval == 0 then
  if free > now then return {'wait', math.ceil(free - now)} end
  local reply = go(probing)
  keep(0)
  return reply
end

local mine = tonumber(redis.call('ZSCORE', row, ticket) or '0')
if mine == 0 then
  mine = priority * RANK + redis.call('HINCRBY', budget, 'seq', 1)
  redis.call('ZADD', row, string.format('%.0f', mine), ticket)
end

local asks = {}
local flat = redis.call('HGETALL', seen)
for i = 1, #flat, 2 do asks[flat[i]] = tonumber(flat[i + 1]) end
asks[ticket] = now

-- first and eldest: of those who are up. oldest: of all who wait.
local ahead, overtakes, first, eldest, eldest_seq, oldest, oldest_seq = 0, false, nil, nil, nil, nil, nil
local rows = redis.call('ZRANGE', row, 0, -1, 'WITHSCORES')
for i = 1, #rows, 2 do
  local id, score, at = rows[i], tonumber(rows[i + 1]), asks[rows[i]] or 0
  if at + GRACE_MS < now then
    redis.call('ZREM', row, id)
    redis.call('HDEL', seen, id)
  else
    local seq = score % RANK
    if score < mine then ahead = ahead + 1 end
    if seq < mine % RANK and score > mine then overtakes = true end
    if not oldest or seq < oldest_seq then oldest, oldest_seq = id, seq end
    if at <= now + math.min(tolerance, interval / 2) then
      first = first or id
      if not eldest or seq < eldest_seq then eldest, eldest_seq = id, seq end
    end
  end
end

local passed = get('passed')
local pick = passed >= SHARE - 1 and eldest or first
if free <= now and pick == ticket then
  leave()
  passed = (ticket == first and overtakes) and passed + 1 or 0
  free = math.max(free, now - tolerance) + interval
  redis.call('HSET', budget, 'free', string.format('%.3f', free), 'passed', passed)
  local reply = go(probing)
  keep(free - now)
  return reply
end

local turns = math.min(ahead, SHARE)
if ticket == oldest then turns = math.min(turns, math.max(0, SHARE - 1 - passed)) end
if free <= now then turns = math.max(turns, 1) end
local wait = math.max(1, math.ceil(math.max(free - now, 0) + turns * interval))
redis.call('HSET', seen, ticket, string.format('%.0f', now + wait))
keep(wait)
return {'wait', wait}
