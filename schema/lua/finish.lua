-- finish: the end of an attempt, whole: fence check, outcome, ack or retry, queue, lease, and the next entry.
--
-- verb 'done'    the event is over: outcome, ack, leave the queue
--      'dead'    the same, and the entry with its last error goes to the dead-letter stream
--      'retry'   outcome (attempt_failed); the entry stays pending and first in its queue, due later
--      'release' no outcome: handed back unworked (shutdown), due at once for anybody
-- The lease is released in every case. After 'done' and 'dead' the lead's next entry is claimed for this
-- instance (or, with take=0, made due at once for anybody), so it does not wait for XAUTOCLAIM.
-- An instance whose lease was lost changes nothing at all.
--
-- KEYS  webhooks, outcomes, retries, dead, then per item: lease, queue, steps, state
-- ARGV  group, instance, steps TTL (s), take (0|1), wake channel, then per item: verb, entry_id, lease value,
--       delay (ms), counted (0|1), clean (0|1), number of outcome texts, number of dead texts, what 'done' says of
--       the lead's contact (kept as its state) or '', the outcome as name-value texts, the dead letter likewise
-- reply per item: {'ok', next entry id or '', [next entry's fields...], [ids lost from the stream...]}
--               | {'lost'}
local webhooks, outcomes, retries, dead = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local group, instance, steps_s, take, wake = ARGV[1], ARGV[2], ARGV[3], ARGV[4] == '1', ARGV[5]

local function texts(from, count)
  local list = {}
  for i = from, from + count - 1 do list[#list + 1] = ARGV[i] end
  return list
end

local function xadd(stream, list)
  redis.call('XADD', stream, '*', unpack(list))
end

-- The lead's next entry that may run now; entries without a body are reported, not passed over in silence.
local function next_entry(queue)
  local lost = {}
  while true do
    local id = redis.call('ZRANGE', queue, 0, 0)[1]
    if not id then return '', {}, lost end
    local due = tonumber(redis.call('ZSCORE', retries, id) or '0')
    if due > now_ms() then return '', {}, lost end
    local body = body_of(webhooks, id)
    if body and owner_of(webhooks, group, id) then
      if not take then
        redis.call('ZADD', retries, now_ms(), id)
        redis.call('PUBLISH', wake, instance)
        return '', {}, lost
      end
      redis.call('XCLAIM', webhooks, group, instance, 0, id, 'JUSTID')
      return id, body, lost
    end
    if is_unread(webhooks, group, id) then return '', {}, lost end
    if not body then lost[#lost + 1] = id end
    redis.call('ZREM', queue, id)
  end
end

local function finish(lease, queue, steps, state, contact, verb, entry_id, value, delay, counted, clean, outcome, letter)
  if redis.call('GET', lease) ~= value then return {'lost'} end
  if verb == 'done' or verb == 'dead' then
    xadd(outcomes, outcome)
    if verb == 'dead' then
      xadd(dead, letter)
      redis.call('EXPIRE', steps, steps_s)
      redis.call('DEL', lease)
    else
      redis.call('DEL', lease, steps)
      if contact ~= '' then redis.call('SET', state, contact, 'EX', steps_s) end
    end
    redis.call('XACK', webhooks, group, entry_id)
    redis.call('ZREM', queue, entry_id)
    redis.call('ZREM', retries, entry_id)
    local id, body, lost = next_entry(queue)
    return {'ok', id, body, lost}
  end
  local due = now_ms() + tonumber(delay)
  if verb == 'retry' then
    outcome[#outcome + 1] = 'retry_at'
    outcome[#outcome + 1] = iso_ms(due)
    xadd(outcomes, outcome)
  end
  if counted == '0' then redis.call('HINCRBY', steps, 'attempt', -1) end
  redis.call('HSET', steps, 'clean', clean)
  redis.call('EXPIRE', steps, steps_s)
  redis.call('ZADD', retries, due, entry_id)
  redis.call('DEL', lease)
  if verb == 'release' then redis.call('PUBLISH', wake, instance) end
  return {'ok', '', {}, {}}
end

local replies, at = {}, 6
for n = 1, (#KEYS - 4) / 4 do
  local k = 4 + (n - 1) * 4
  local n_outcome, n_letter = tonumber(ARGV[at + 6]), tonumber(ARGV[at + 7])
  local outcome = texts(at + 9, n_outcome)
  local letter = texts(at + 9 + n_outcome, n_letter)
  if n_outcome > 0 then
    outcome[#outcome + 1] = 'at'
    outcome[#outcome + 1] = iso_now()
  end
  if n_letter > 0 then
    letter[#letter + 1] = 'at'
    letter[#letter + 1] = iso_now()
  end
  replies[n] = finish(KEYS[k + 1], KEYS[k + 2], KEYS[k + 3], KEYS[k + 4], ARGV[at + 8], ARGV[at], ARGV[at + 1],
    ARGV[at + 2], ARGV[at + 3], ARGV[at + 4], ARGV[at + 5], outcome, letter)
  at = at + 9 + n_outcome + n_letter
end
return replies
