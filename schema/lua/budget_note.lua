-- budget_note: what became of a call: the row of its API is left or pushed back, its circuit breaker turned.
--
-- verb 'leave'  the ticket no longer waits (its caller was cancelled)
--      'pause'  no call of the fleet before so many ms from now (a 429)
--      'bad'    the call failed: counts towards opening; a failed probe opens for twice as long as before
--      'good'   the probe succeeded: closes
--
-- KEYS  budget, row, seen (see budget.lua)
-- ARGV  verb, ticket, then 'pause': ms; 'bad': rate that opens, least failures, ms open, most ms open, half of the
--       breaker's window (ms)
-- reply 'bad': {1 opened now | 0, ms until the breaker lets a probe through, 0 where it is closed}
--       'good': {1 closed now | 0, 0}; else {0, 0}
local budget, row, seen = KEYS[1], KEYS[2], KEYS[3]
local verb, ticket = ARGV[1], ARGV[2]
local KEEP_MS = 3600000

local now = now_ms()
local function get(field)
  return tonumber(redis.call('HGET', budget, field) or '0')
end

if verb == 'leave' then
  redis.call('ZREM', row, ticket)
  redis.call('HDEL', seen, ticket)
  return {0, 0}
end

if verb == 'pause' then
  local free = math.max(get('free'), now + tonumber(ARGV[3]))
  redis.call('HSET', budget, 'free', string.format('%.3f', free))
  redis.call('PEXPIRE', budget, math.ceil(free - now + KEEP_MS))
  return {0, 0}
end

local probe = redis.call('HGET', budget, 'probe') == ticket
if verb == 'good' then
  if not probe then return {0, 0} end
  redis.call('HDEL', budget, 'open', 'opened', 'since', 'probe', 'probe_until', 'calls', 'bad', 'calls0', 'bad0')
  return {1, 0}
end

local rate, least, open_ms, most_ms, half_ms = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]),
  tonumber(ARGV[6]), tonumber(ARGV[7])
local open, opened = get('open'), get('opened')
if open > 0 and not probe then return {0, math.max(1, math.ceil(math.max(open, get('probe_until')) - now))} end
if open == 0 then
  turn_window(budget, now, half_ms)
  redis.call('HINCRBY', budget, 'bad', 1)
  redis.call('PEXPIRE', budget, KEEP_MS)
  local bad = get('bad') + get('bad0')
  if bad < least or bad < rate * (get('calls') + get('calls0')) then return {0, 0} end
  redis.call('HSET', budget, 'since', string.format('%.0f', now))
end
local ms = math.min(open_ms * 2 ^ opened, most_ms)
redis.call('HSET', budget, 'open', string.format('%.0f', now + ms), 'opened', string.format('%.0f', opened + 1))
redis.call('HDEL', budget, 'probe', 'probe_until')
redis.call('PEXPIRE', budget, math.ceil(ms + KEEP_MS))
return {1, math.ceil(ms)}
