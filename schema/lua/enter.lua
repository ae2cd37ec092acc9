-- enter: an instance that has entries in its pending entries list asks to work on them.
--
-- An entry is in its lead's queue since it was appended (it joins here where that was lost). If it is the oldest
-- there, whether others were read or not, its retry (if any) is due and nobody holds the lead, the instance gets
-- the lease with a new fence and the attempt is counted -- before any work, so that an entry which kills its
-- process is counted too. Whoever asks for an entry that is not (or no longer) its own gets nothing: it may have
-- been reclaimed and finished while the asker slept.
--
-- KEYS  webhooks, outcomes, retries, fence, regrouped, then per entry: lease, queue, steps
-- ARGV  group, instance, lease TTL (ms), steps TTL (s), wake channel or '', then per entry: entry_id,
--       event_id, lead_id, action, received_at
-- The step `verify` is set once an earlier attempt ended unseen (crash, lost lease), and for an entry that may have
-- been worked off before its group was lost and made anew: from then on the lead is read before anything is sent. `clean` is what finish left of the last attempt: 1 sent nothing, 0 perhaps
-- did, none at all: it never ended (its owner crashed or lost the lease).
--
-- reply per entry: {'run', fence, [steps, with attempt and verify...], 1 if the last attempt never ended}
--                | {'wait', entry id that goes first} | {'later', ms until due} | {'busy', ms of the lease left}
--                | {'gone'}
local webhooks, outcomes, retries, fences = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local regrouped = redis.call('GET', KEYS[5])
local group, instance, lease_ms, steps_s, wake = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local WIDTH = 5

-- The oldest entry of a queue that is not over; entries acked or deleted behind our back are swept out.
local function head_of(queue)
  while true do
    local head = redis.call('ZRANGE', queue, 0, 0)[1]
    if not head or owner_of(webhooks, group, head) or is_unread(webhooks, group, head) then return head end
    redis.call('ZREM', queue, head)
  end
end

local function enter(lease, queue, steps, entry_id, event_id, lead_id, action, received_at)
  if owner_of(webhooks, group, entry_id) ~= instance then return {'gone'} end
  redis.call('ZADD', queue, 'NX', score_of(entry_id), entry_id)
  local head = head_of(queue)
  if head ~= entry_id then return {'wait', head} end
  local due = tonumber(redis.call('ZSCORE', retries, entry_id) or '0')
  local now = now_ms()
  if due > now then return {'later', due - now} end
  local left = redis.call('PTTL', lease)
  if left > 0 then return {'busy', left} end

  local fence = next_fence(fences)
  redis.call('SET', lease, instance .. '|' .. fence, 'PX', lease_ms)
  redis.call('ZREM', retries, entry_id)
  local attempt = redis.call('HINCRBY', steps, 'attempt', 1)
  local ended = redis.call('HGET', steps, 'clean')
  local seen = regrouped and tonumber(score_of(entry_id)) <= tonumber(score_of(regrouped))
  if seen or (attempt > 1 and ended ~= '1') then redis.call('HSET', steps, 'verify', '1') end
  redis.call('HDEL', steps, 'clean')
  redis.call('EXPIRE', steps, steps_s)
  redis.call('XADD', outcomes, '*', 'type', 'processing_started', 'event_id', event_id, 'lead_id', lead_id,
    'action', action, 'received_at', received_at, 'at', iso_now(), 'attempt', attempt, 'fence', fence,
    'instance', instance, 'entry_id', entry_id)
  return {'run', fence, redis.call('HGETALL', steps), attempt > 1 and not ended and 1 or 0}
end

local replies, started = {}, false
for n = 1, (#KEYS - 5) / 3 do
  local k, a = 5 + (n - 1) * 3, 5 + (n - 1) * WIDTH
  replies[n] = enter(KEYS[k + 1], KEYS[k + 2], KEYS[k + 3], ARGV[a + 1], ARGV[a + 2], ARGV[a + 3], ARGV[a + 4],
    ARGV[a + 5])
  started = started or replies[n][1] == 'run'
end
if started and wake ~= '' then redis.call('PUBLISH', wake, instance) end
return replies
