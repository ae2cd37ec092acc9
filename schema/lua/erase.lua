-- erase: take entries of one lead out of the streams, whoever works on them, and remember that it was done.
--
-- The lease goes with them: its owner can record, send and finish nothing more (see record.lua, finish.lua). An
-- event whose work was not over ends here, by an outcome `event_ignored` with a fence of its own and the reason
-- `erased`, so that the record knows an end of it. The tombstones in `erased` outlive a restored Postgres, as
-- those in Postgres outlive a lost Redis; the dedup keys stay, marked, so that a repeat of an erased webhook is
-- known and its body is not kept.
--
-- KEYS  webhooks, outcomes, retries, parked, dead, fence, erased, lease, queue, state
-- ARGV  group, instance, lead id, 1 to take all that is in the lead's queue | 0, erasure id, number of entry ids, the
--       entry ids of webhooks, number of dead letter ids, these, then per event to be remembered: its id
-- reply {1 if the lead was in work | 0, [event ids found in the queue...], entries taken, letters taken}
local webhooks, outcomes, retries, parked, dead = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local fences, erased, lease, queue, state = KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local group, instance, lead, all, erasure = ARGV[1], ARGV[2], ARGV[3], ARGV[4] == '1', ARGV[5]

local function fields_of(stream, id)
  local body = body_of(stream, id)
  if not body then return nil end
  local fields = {}
  for i = 1, #body, 2 do fields[body[i]] = body[i + 1] end
  return fields
end

local ids, letters, at = {}, {}, 6
for i = 1, tonumber(ARGV[at]) do ids[#ids + 1] = ARGV[at + i] end
at = at + #ids + 1
for i = 1, tonumber(ARGV[at]) do letters[#letters + 1] = ARGV[at + i] end
at = at + #letters + 1
if all then
  for _, id in ipairs(redis.call('ZRANGE', queue, 0, -1)) do ids[#ids + 1] = id end
end

local found, seen, ends = {}, {}, {}
local taken, buried = 0, 0
for _, id in ipairs(ids) do
  local fields = fields_of(webhooks, id)
  local owned = owner_of(webhooks, group, id)
  if fields and fields['lead_id'] == lead then
    if not seen[fields['event_id']] then
      seen[fields['event_id']] = true
      found[#found + 1] = fields['event_id']
    end
    if owned or is_unread(webhooks, group, id) then ends[fields['event_id']] = fields end
  end
  if owned then redis.call('XACK', webhooks, group, id) end
  taken = taken + redis.call('XDEL', webhooks, id)
  redis.call('ZREM', queue, id)
  redis.call('ZREM', retries, id)
  redis.call('ZREM', parked, id)
end
for _, id in ipairs(letters) do
  local fields = fields_of(dead, id)
  if fields and fields['lead_id'] == lead then
    ends[fields['event_id']] = fields
    buried = buried + redis.call('XDEL', dead, id)
  end
end
for event_id, fields in pairs(ends) do
  redis.call('XADD', outcomes, '*', 'type', 'event_ignored', 'event_id', event_id, 'lead_id', lead, 'action',
    fields['action'], 'received_at', fields['received_at'], 'at', iso_now(), 'attempt', '0', 'fence',
    next_fence(fences, 1), 'instance', instance, 'reason', 'erased')
end
for i = at, #ARGV do redis.call('HSET', erased, ARGV[i], lead .. '|' .. erasure) end
for _, event_id in ipairs(found) do redis.call('HSET', erased, event_id, lead .. '|' .. erasure) end
local working = 0
if all or #ids > 0 then
  working = redis.call('DEL', lease)
  redis.call('DEL', state)
end
if all then redis.call('DEL', queue) end
return {working, found, taken, buried}
