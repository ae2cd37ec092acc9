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
-- reply per item: 1 ended, and no more of the lead is to be done now
--               | {next entry id or '', [next entry's fields...], [ids lost from the stream...]}
--               | 0 lease lost
local webhooks, outcomes, retries, dead = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local group, instance, steps_s, take, wake = ARGV[1], ARGV[2], ARGV[3], ARGV[4] == '1', ARGV[5]
local HEAD_KEYS, KEY_WIDTH, HEAD, WIDTH = 4, 4, 5, 9
local count = (#KEYS - HEAD_KEYS) / KEY_WIDTH

-- Who holds the leads, as far as this call has not released them.
local leases, held = {}, {}
for n = 1, count do leases[n] = KEYS[HEAD_KEYS + (n - 1) * KEY_WIDTH + 1] end
for n, value in ipairs(redis.call('MGET', unpack(leases))) do held[leases[n]] = value end

-- An entry of name-value texts of ARGV, and of the moment.
local function xadd(stream, first, texts)
  redis.call('XADD', stream, '*', ARGV[first], ARGV[first + 1], 'at', iso_now(),
    unpack(ARGV, first + 2, first + texts - 1))
end

-- The lead's next entry that may run now; entries without a body are reported, not passed over in silence.
local function next_entry(queue)
  local lost = {}
  while true do
    local id = redis.call('ZRANGE', queue, 0, 0)[1]
    if not id then return {'', {}, lost} end
    local due = tonumber(redis.call('ZSCORE', retries, id) or '0')
    if due > now_ms() then return {'', {}, lost} end
    local body = body_of(webhooks, id)
    if body and owner_of(webhooks, group, id) then
      if not take then
        redis.call('ZADD', retries, now_ms(), id)
        redis.call('PUBLISH', wake, instance)
        return {'', {}, lost}
      end
      redis.call('XCLAIM', webhooks, group, instance, 0, id, 'JUSTID')
      return {id, body, lost}
    end
    if is_unread(webhooks, group, id) then return {'', {}, lost} end
    if not body then lost[#lost + 1] = id end
    redis.call('ZREM', queue, id)
  end
end

-- The event is over; true where its queue holds more.
local function over(lease, queue, steps, state, at)
  local entry_id, n_outcome, n_letter, contact = ARGV[at + 1], ARGV[at + 6], ARGV[at + 7], ARGV[at + 8]
  xadd(outcomes, at + WIDTH, n_outcome)
  local first = redis.call('ZRANGE', queue, 0, 1)
  local more = #first == 2 or (first[1] and first[1] ~= entry_id)
  if more then redis.call('ZREM', queue, entry_id) end
  local gone = more and {lease} or {lease, queue}
  if n_letter ~= '0' then
    xadd(dead, at + WIDTH + n_outcome, n_letter)
    redis.call('EXPIRE', steps, steps_s)
  else
    gone[#gone + 1] = steps
    if contact ~= '' then redis.call('SET', state, contact, 'EX', steps_s) end
  end
  redis.call('DEL', unpack(gone))
  return more
end

-- The entry stays pending, due later.
local function again(lease, steps, at)
  local verb, due, texts = ARGV[at], now_ms() + tonumber(ARGV[at + 3]), tonumber(ARGV[at + 6])
  if verb == 'retry' then
    redis.call('XADD', outcomes, '*', ARGV[at + WIDTH], ARGV[at + WIDTH + 1], 'at', iso_now(),
      'retry_at', iso_ms(due), unpack(ARGV, at + WIDTH + 2, at + WIDTH + texts - 1))
  end
  if ARGV[at + 4] == '0' then redis.call('HINCRBY', steps, 'attempt', -1) end
  redis.call('HSET', steps, 'clean', ARGV[at + 5])
  redis.call('EXPIRE', steps, steps_s)
  redis.call('ZADD', retries, due, ARGV[at + 1])
  redis.call('DEL', lease)
  if verb == 'release' then redis.call('PUBLISH', wake, instance) end
end

-- All that ended is acked, with one command, before anything else is looked at.
local replies, acked, at = {}, {}, HEAD + 1
for n = 1, count do
  local k, verb = HEAD_KEYS + (n - 1) * KEY_WIDTH, ARGV[at]
  local lease, queue, steps, state = KEYS[k + 1], KEYS[k + 2], KEYS[k + 3], KEYS[k + 4]
  if held[lease] ~= ARGV[at + 2] then
    replies[n] = 0
  else
    held[lease], replies[n] = nil, 1
    if verb == 'done' or verb == 'dead' then
      if over(lease, queue, steps, state, at) then replies[n] = queue end
      acked[#acked + 1] = ARGV[at + 1]
    else
      again(lease, steps, at)
    end
  end
  at = at + WIDTH + ARGV[at + 6] + ARGV[at + 7]
end
if acked[1] then
  redis.call('XACK', webhooks, group, unpack(acked))
  redis.call('ZREM', retries, unpack(acked))
end
for n, queue in ipairs(replies) do
  if queue ~= 0 and queue ~= 1 then replies[n] = next_entry(queue) end
end
return replies
