-- replay: put an event back to work under its own id, as a new series of attempts.
--
-- Its steps stay (look-ups are not paid twice, a send intent is remembered) but the attempt count starts anew,
-- and the next attempt reads the lead before it sends: a replay can never message twice.
--
-- Where it makes good a lost entry, nothing is done if that entry, or one that made it good before, is in the
-- stream: several may find the same loss at once. Of an entry that was in another partition (its lead has a new
-- home) only the latter can be seen here; the caller looked for the former.
--
-- KEYS  webhooks, outcomes, fence, steps, dedup, queue of its lead
-- ARGV  dedup TTL (s), steps TTL (s), instance, reason, event_id, lead_id, action, version, source,
--       received_at, traceparent, payload, the lost entry's id ('0-0': of another partition) or '', the operator or ''
--       (see `EventReplayed`)
-- reply the new entry id, or '' where nothing was lost
local webhooks, outcomes, fences, steps, dedup, queue = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local lost = ARGV[13]
if lost ~= '' then
  local again = redis.call('HGET', steps, 'entry')
  if body_of(webhooks, lost) or (again and body_of(webhooks, again)) then return '' end
end
local fence = next_fence(fences, 1)
local id = redis.call('XADD', webhooks, '*', 'event_id', ARGV[5], 'lead_id', ARGV[6], 'action', ARGV[7],
  'version', ARGV[8], 'source', ARGV[9], 'received_at', ARGV[10], 'traceparent', ARGV[11], 'payload', ARGV[12])
redis.call('ZADD', queue, score_of(id), id)
local by = {}
if ARGV[14] ~= '' then by = {'actor', ARGV[14]} end
redis.call('XADD', outcomes, '*', 'type', 'event_replayed', 'event_id', ARGV[5], 'lead_id', ARGV[6],
  'action', ARGV[7], 'received_at', ARGV[10], 'at', iso_now(), 'attempt', '0', 'fence', fence,
  'instance', ARGV[3], 'entry_id', id, 'reason', ARGV[4], unpack(by))
redis.call('HSET', steps, 'attempt', '0', 'verify', '1', 'entry', id)
if lost ~= '' then
  -- With the entry its send intent may be lost: a message may be on its way this very moment.
  local s, us = clock()
  redis.call('HSET', steps, 'settle', string.format('%d.%06d', s, us))
end
redis.call('HDEL', steps, 'clean')
redis.call('EXPIRE', steps, ARGV[2])
redis.call('SET', dedup, ARGV[5], 'EX', ARGV[1])
return id
