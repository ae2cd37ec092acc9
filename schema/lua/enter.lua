-- enter: an instance that has entries in its pending entries list asks to work on them.
--
-- An entry is in its lead's queue since it was appended (it joins here where that was lost). If it is the oldest
-- there, whether others were read or not, its retry (if any) is due and nobody holds the lead, the instance gets
-- the lease with a new fence and the attempt is counted -- before any work, so that an entry which kills its
-- process is counted too. Whoever asks for an entry that is not (or no longer) its own gets nothing: it may have
-- been reclaimed and finished while the asker slept.
--
-- An update waits a little for more of its kind, and where a newer one is in the queue it runs only to be told so.
-- An entry of lower priority than a new lead needs one of the instance's few slots for such; with none left it is
-- parked: pending and first in its queue, without lease or attempt, until `tick` finds it a slot.
--
-- KEYS  webhooks, outcomes, retries, fence, regrouped, parked, then per entry: lease, queue, steps, state
-- ARGV  group, instance, lease TTL (ms), steps TTL (s), wake channel, 1 to say there that work began | 0, slots for
--       low priority, how long an update waits for more (ms), then per entry: entry_id, event_id, lead_id, action,
--       received_at, priority (0 = first), 1 if updates of its source collapse | 0
-- The step `verify` is set once an earlier attempt ended unseen (crash, lost lease), and for an entry that may have
-- been worked off before its group was lost and made anew: from then on the lead is read before anything is sent.
-- `clean` is what finish left of the last attempt: 1 sent nothing, 0 perhaps did, none at all: it never ended (its
-- owner crashed or lost the lease).
--
-- reply per entry: {'run', fence}: the first attempt, and nothing else is known
--                | {'run', fence, [steps, with attempt and verify...], 1 if the last attempt never ended,
--                   event id of the newer update or '', what the lead's last processed event said of its contact or ''
--                   (of an update only)}
--                | {'wait', entry id that goes first} | {'later', ms until due} | {'busy', ms of the lease left}
--                | {'parked'} | {'gone'}
local webhooks, outcomes, retries, fences, parked = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[6]
local regrouped = redis.call('GET', KEYS[5])
local some_parked = redis.call('EXISTS', parked) == 1
local group, instance, lease_ms, steps_s, wake = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local tell, low_slots, settle_ms = ARGV[6] == '1', tonumber(ARGV[7]), tonumber(ARGV[8])
local HEAD_KEYS, KEY_WIDTH, HEAD, WIDTH, UPDATE, LOOKED_AT = 6, 4, 8, 7, 'on_update_lead', 20
local count = (#KEYS - HEAD_KEYS) / KEY_WIDTH
-- A step of priority is worth so much of waiting: among the parked, nobody waits for ever either.
local STEP_MS = 600000

-- The oldest entry of a queue that is not over; `mine` is known not to be. Entries acked or deleted behind our
-- back are swept out.
local function head_of(queue, mine)
  while true do
    local head = redis.call('ZRANGE', queue, 0, 0)[1]
    if not head or head == mine then return head end
    if owner_of(webhooks, group, head) or is_unread(webhooks, group, head) then return head end
    redis.call('ZREM', queue, head)
  end
end

-- The event id of the newest update that waits behind an entry; replays, follow-ups and calls of the old trigger
-- do not count: they need not look at the lead's contact.
local function newer_update(queue, entry_id)
  for _, id in ipairs(redis.call('ZREVRANGE', queue, 0, LOOKED_AT - 1)) do
    if id == entry_id then return '' end
    local flat = body_of(webhooks, id)
    if flat and (owner_of(webhooks, group, id) or is_unread(webhooks, group, id)) then
      local fields = {}
      for i = 1, #flat, 2 do fields[flat[i]] = flat[i + 1] end
      if fields['action'] == UPDATE and (fields['source'] == 'webhook' or fields['source'] == 'reconcile') then
        return fields['event_id']
      end
    end
  end
  return ''
end

-- Whether an event may end for a newer one: nothing of it may have been sent.
local function untouched(steps)
  local attempt = tonumber(redis.call('HGET', steps, 'attempt') or '0')
  return (redis.call('HGET', steps, 'intent') or '') == '' and redis.call('HGET', steps, 'verify') ~= '1'
    and (attempt == 0 or redis.call('HGET', steps, 'clean') == '1'), attempt
end

local function enter(due, lease, queue, steps, state, entry_id, event_id, lead_id, action, received_at, priority, collapses)
  if owner_of(webhooks, group, entry_id) ~= instance then return {'gone'} end
  local head = head_of(queue, entry_id)
  if head ~= entry_id then
    redis.call('ZADD', queue, 'NX', score_of(entry_id), entry_id)
    head = head_of(queue, entry_id)
  end
  if head ~= entry_id then return {'wait', head} end
  local now = now_ms()
  if due > now then return {'later', due - now} end
  -- Taken at once, and given back where the entry has to wait for something else: so one command asks and takes.
  local fence = next_fence(fences, count)
  if not redis.call('SET', lease, instance .. '|' .. fence, 'NX', 'PX', lease_ms) then
    return {'busy', redis.call('PTTL', lease)}
  end

  local seen = regrouped and tonumber(score_of(entry_id)) <= tonumber(score_of(regrouped))
  local newer = ''
  if collapses == '1' and action == UPDATE then
    local free, attempt = untouched(steps)
    if free and not seen then newer = newer_update(queue, entry_id) end
    local settled = tonumber(string.match(entry_id, '^%d+')) + settle_ms
    if newer == '' and attempt == 0 and settled > now then
      redis.call('ZADD', retries, settled, entry_id)
      redis.call('DEL', lease)
      return {'later', settled - now}
    end
  end
  if tonumber(priority) > 0 and newer == '' then
    if low_slots <= 0 then
      local first = redis.call('ZCARD', parked) == 0
      local place = tonumber(priority) * STEP_MS + tonumber(string.match(entry_id, '^%d+'))
      redis.call('ZADD', parked, string.format('%.0f', place), entry_id)
      some_parked = true
      redis.call('DEL', lease)
      if first then redis.call('PUBLISH', wake, instance) end
      return {'parked'}
    end
    low_slots = low_slots - 1
  end
  if some_parked then redis.call('ZREM', parked, entry_id) end
  if due > 0 then redis.call('ZREM', retries, entry_id) end

  local known = redis.call('HGETALL', steps)
  local attempt, ended = 1, false
  for i = 1, #known, 2 do
    if known[i] == 'attempt' then attempt = tonumber(known[i + 1]) + 1 end
    if known[i] == 'clean' then ended = known[i + 1] end
  end
  redis.call('HSET', steps, 'attempt', attempt)
  if seen or (attempt > 1 and ended ~= '1') then redis.call('HSET', steps, 'verify', '1') end
  if ended then redis.call('HDEL', steps, 'clean') end
  redis.call('EXPIRE', steps, steps_s)
  local is_fresh = #known == 0 and not seen and action ~= UPDATE
  redis.call('XADD', outcomes, '*', 'type', 'processing_started', 'event_id', event_id, 'lead_id', lead_id,
    'action', action, 'received_at', received_at, 'at', iso_now(), 'attempt', attempt, 'fence', fence,
    'instance', instance, 'entry_id', entry_id)
  if is_fresh then return {'run', fence} end
  known = redis.call('HGETALL', steps)
  local contact = action == UPDATE and redis.call('GET', state) or ''
  return {'run', fence, known, attempt > 1 and not ended and 1 or 0, newer, contact}
end

local ids = {}
for n = 1, count do ids[n] = ARGV[HEAD + (n - 1) * WIDTH + 1] end
local due_at = redis.call('ZMSCORE', retries, unpack(ids))

local replies, started = {}, false
for n = 1, count do
  local k, a = HEAD_KEYS + (n - 1) * KEY_WIDTH, HEAD + (n - 1) * WIDTH
  replies[n] = enter(tonumber(due_at[n] or '0'), KEYS[k + 1], KEYS[k + 2], KEYS[k + 3], KEYS[k + 4], ids[n],
    ARGV[a + 2], ARGV[a + 3], ARGV[a + 4], ARGV[a + 5], ARGV[a + 6], ARGV[a + 7])
  started = started or replies[n][1] == 'run'
end
if started and tell then redis.call('PUBLISH', wake, 'began') end
return replies
