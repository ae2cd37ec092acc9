-- outside: what the fleet agrees on about calls to the outside: turns in each API's budget with its circuit breaker,
-- and the look-ups that are kept. A processor asks all that it has to ask at a time in one call.
--
-- Turns: one row per API for the whole fleet, by priority and arrival, evenly spaced (GCRA), by Redis time. Whoever
-- is told to wait asks again when its estimate has passed. A turn goes to the first of those who are up (asking now,
-- or due to ask about now); sleepers never hold it up, and one who did not come back (a crash) is passed over after a
-- grace. Every SHARE-th turn that would pass over someone older goes to the one who has waited longest: no priority
-- starves. The breaker is asked with it, so that no call needs to ask twice.
--
-- An answer is looked up by one of the fleet at a time: who finds a lock waits for it, or for the lock to lapse.
--
-- KEYS  per operation, as its verb says
-- ARGV  per operation: verb, number of its texts, these
-- reply per operation, as its verb says
--
-- turn   KEYS  budget (hash: free, seq, passed; the breaker: half, calls, bad, calls0, bad0, open, opened, since,
--              probe, probe_until), row (ticket by priority and arrival), seen (hash: when each ticket will ask again)
--        texts ticket, priority, interval between calls (ms; 0 = no limit), lateness that does not push the next call
--              back (ms), life of a probe (ms), half of the breaker's window (ms), 1 if it is wanted only where the
--              look before it was answered 'mine' | 0
--        reply {'go', 1 if it is the probe | 0} | {'wait', ms} | {'open', ms} | {'none'}
-- pass   KEYS  budget; texts calls that were made without a turn since, half of the breaker's window (ms)
--        reply 1 if calls of an API without a limit may go on like this | 0 (it is paused, or its breaker not closed)
-- leave  KEYS  row, seen; texts ticket: its caller was cancelled
-- pause  KEYS  budget; texts ms: no call of the fleet before then (a 429)
-- bad    KEYS  budget; texts ticket, rate that opens, least failures, ms open, most ms open, half of the window (ms):
--              the call failed; counts towards opening, and a failed probe opens for twice as long as before
--        reply {1 opened now | 0, ms until the breaker lets a probe through, 0 where it is closed}
-- good   KEYS  budget; texts ticket: the probe succeeded
--        reply {1 closed now | 0, 0}
-- look   KEYS  answer, lock; texts token of the caller, life of the lock (ms); whoever holds it and looks again holds
--              it so long anew
--        reply {'hit', answer} | {'mine'} (fetch it, then keep) | {'wait', ms of the lock left}
-- keep   KEYS  answer, lock; texts token of the caller, answer or '' (the look-up failed), life of the answer (s)
--        reply 1 if the lock was still the caller's | 0
local KEYS_OF = {turn = 3, pass = 1, leave = 2, pause = 1, bad = 1, good = 1, look = 2, keep = 2}
local SHARE, GRACE_MS, KEEP_MS, PROBE_LOOK_MS, RANK = 10, 300, 3600000, 15000, 1e12

local now = now_ms()
local mine_now = false  -- whether the last look was answered 'mine'
local verbs = {}

local function number_of(budget, field)
  return tonumber(redis.call('HGET', budget, field) or '0')
end

local function whole(number)
  return string.format('%.0f', number)
end

function verbs.leave(keys, texts)
  redis.call('ZREM', keys[1], texts[1])
  redis.call('HDEL', keys[2], texts[1])
  return 1
end

local function go(budget, ticket, probing, probe_ms, half_ms)
  turn_window(budget, now, half_ms)
  redis.call('HINCRBY', budget, 'calls', 1)
  if probing then
    redis.call('HSET', budget, 'probe', ticket, 'probe_until', whole(now + probe_ms))
  end
  return {'go', probing and 1 or 0}
end

-- Who of a row counts now, seen by one ticket: how many are ahead of it, whether it would overtake someone older;
-- `first` and `eldest` of those who are up, `oldest` of all who wait. Those who did not come back are struck off.
local function surveyed(row, seen, ticket, mine, up_by)
  local asks, found = {}, {ahead = 0, overtakes = false}
  local flat = redis.call('HGETALL', seen)
  for i = 1, #flat, 2 do asks[flat[i]] = tonumber(flat[i + 1]) end
  asks[ticket] = now
  local rows = redis.call('ZRANGE', row, 0, -1, 'WITHSCORES')
  for i = 1, #rows, 2 do
    local id, score, at = rows[i], tonumber(rows[i + 1]), asks[rows[i]] or 0
    if at + GRACE_MS < now then
      redis.call('ZREM', row, id)
      redis.call('HDEL', seen, id)
    else
      local seq = score % RANK
      if score < mine then found.ahead = found.ahead + 1 end
      if seq < mine % RANK and score > mine then found.overtakes = true end
      if not found.oldest or seq < found.oldest_seq then found.oldest, found.oldest_seq = id, seq end
      if at <= up_by then
        found.first = found.first or id
        if not found.eldest or seq < found.eldest_seq then found.eldest, found.eldest_seq = id, seq end
      end
    end
  end
  return found
end

function verbs.turn(keys, texts)
  if texts[7] == '1' and not mine_now then return {'none'} end
  local budget, row, seen = keys[1], keys[2], keys[3]
  local ticket, priority, interval, tolerance, probe_ms, half_ms = texts[1], tonumber(texts[2]), tonumber(texts[3]),
    tonumber(texts[4]), tonumber(texts[5]), tonumber(texts[6])
  local function keep(ms)
    for _, key in ipairs(keys) do redis.call('PEXPIRE', key, math.ceil(ms + KEEP_MS)) end
  end

  local open, probing = number_of(budget, 'open'), false
  if open > 0 then
    local probed = redis.call('HGET', budget, 'probe') ~= ticket and number_of(budget, 'probe_until') or 0
    -- A probe is usually over long before its life is: look again a little earlier.
    probed = math.min(probed, now + PROBE_LOOK_MS)
    if now < math.max(open, probed) then
      verbs.leave({row, seen}, {ticket})
      return {'open', math.ceil(math.max(open, probed) - now)}
    end
    probing = true
  end

  local free = number_of(budget, 'free')
  if interval == 0 then
    if free > now then return {'wait', math.ceil(free - now)} end
    local reply = go(budget, ticket, probing, probe_ms, half_ms)
    keep(0)
    return reply
  end

  local mine = tonumber(redis.call('ZSCORE', row, ticket) or '0')
  if mine == 0 then
    mine = priority * RANK + redis.call('HINCRBY', budget, 'seq', 1)
    redis.call('ZADD', row, whole(mine), ticket)
  end
  local found = surveyed(row, seen, ticket, mine, now + math.min(tolerance, interval / 2))
  local passed = number_of(budget, 'passed')
  local pick = passed >= SHARE - 1 and found.eldest or found.first
  if free <= now and pick == ticket then
    verbs.leave({row, seen}, {ticket})
    passed = (ticket == found.first and found.overtakes) and passed + 1 or 0
    free = math.max(free, now - tolerance) + interval
    redis.call('HSET', budget, 'free', string.format('%.3f', free), 'passed', passed)
    local reply = go(budget, ticket, probing, probe_ms, half_ms)
    keep(free - now)
    return reply
  end

  local turns = math.min(found.ahead, SHARE)
  if ticket == found.oldest then turns = math.min(turns, math.max(0, SHARE - 1 - passed)) end
  if free <= now then turns = math.max(turns, 1) end
  local wait = math.max(1, math.ceil(math.max(free - now, 0) + turns * interval))
  redis.call('HSET', seen, ticket, whole(now + wait))
  keep(wait)
  return {'wait', wait}
end

function verbs.pass(keys, texts)
  local budget = keys[1]
  if tonumber(texts[1]) > 0 then
    turn_window(budget, now, tonumber(texts[2]))
    redis.call('HINCRBY', budget, 'calls', texts[1])
    redis.call('PEXPIRE', budget, KEEP_MS)
  end
  local state = redis.call('HMGET', budget, 'open', 'free')
  local closed = tonumber(state[1] or '0') <= 0 and tonumber(state[2] or '0') <= now
  return closed and 1 or 0
end

function verbs.pause(keys, texts)
  local free = math.max(number_of(keys[1], 'free'), now + tonumber(texts[1]))
  redis.call('HSET', keys[1], 'free', string.format('%.3f', free))
  redis.call('PEXPIRE', keys[1], math.ceil(free - now + KEEP_MS))
  return 1
end

function verbs.good(keys, texts)
  local budget = keys[1]
  if redis.call('HGET', budget, 'probe') ~= texts[1] then return {0, 0} end
  redis.call('HDEL', budget, 'open', 'opened', 'since', 'probe', 'probe_until', 'calls', 'bad', 'calls0', 'bad0')
  return {1, 0}
end

function verbs.bad(keys, texts)
  local budget = keys[1]
  local rate, least, open_ms, most_ms, half_ms = tonumber(texts[2]), tonumber(texts[3]), tonumber(texts[4]),
    tonumber(texts[5]), tonumber(texts[6])
  local open, opened = number_of(budget, 'open'), number_of(budget, 'opened')
  if open > 0 and redis.call('HGET', budget, 'probe') ~= texts[1] then
    return {0, math.max(1, math.ceil(math.max(open, number_of(budget, 'probe_until')) - now))}
  end
  if open == 0 then
    turn_window(budget, now, half_ms)
    redis.call('HINCRBY', budget, 'bad', 1)
    redis.call('PEXPIRE', budget, KEEP_MS)
    local bad = number_of(budget, 'bad') + number_of(budget, 'bad0')
    local calls = number_of(budget, 'calls') + number_of(budget, 'calls0')
    if bad < least or bad < rate * calls then return {0, 0} end
    redis.call('HSET', budget, 'since', whole(now))
  end
  local ms = math.min(open_ms * 2 ^ opened, most_ms)
  redis.call('HSET', budget, 'open', whole(now + ms), 'opened', whole(opened + 1))
  redis.call('HDEL', budget, 'probe', 'probe_until')
  redis.call('PEXPIRE', budget, math.ceil(ms + KEEP_MS))
  return {1, math.ceil(ms)}
end

function verbs.look(keys, texts)
  local token, lock_ms = texts[1], texts[2]
  local answer = redis.call('GET', keys[1])
  mine_now = false
  if answer then return {'hit', answer} end
  if redis.call('SET', keys[2], token, 'NX', 'PX', lock_ms) then
    mine_now = true
  elseif redis.call('GET', keys[2]) == token then
    redis.call('PEXPIRE', keys[2], lock_ms)
    mine_now = true
  end
  return mine_now and {'mine'} or {'wait', math.max(1, redis.call('PTTL', keys[2]))}
end

function verbs.keep(keys, texts)
  if texts[2] ~= '' then redis.call('SET', keys[1], texts[2], 'EX', texts[3]) end
  if redis.call('GET', keys[2]) ~= texts[1] then return 0 end
  redis.call('DEL', keys[2])
  return 1
end

local replies, at_key, at = {}, 0, 1
while at <= #ARGV do
  local verb, count, keys, texts = ARGV[at], tonumber(ARGV[at + 1]), {}, {}
  for i = 1, KEYS_OF[verb] do keys[i] = KEYS[at_key + i] end
  for i = 1, count do texts[i] = ARGV[at + 1 + i] end
  at_key, at = at_key + #keys, at + 2 + count
  replies[#replies + 1] = verbs[verb](keys, texts)
end
return replies
