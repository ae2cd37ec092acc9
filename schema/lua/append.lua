-- append: accept webhooks. Dedup key, stream entry and the entry's place in its lead's queue together, never one
-- without the others.
--
-- The entry is written before the dedup key: were the second write ever to fail, the webhook would be taken
-- twice (the event id shows it), not lost. A first write over `maxmemory` is refused before anything is
-- written, so the door can put the whole batch into its spool.
--
-- A webhook that is to be passed on (FORWARD_URL) has its copy written with it. That of a batch has an id of its
-- own and is written whichever of its elements are new: whoever takes it on knows the id and takes it once.
--
-- KEYS  webhooks, outcomes, forwards, then per item: dedup key, queue of its lead
-- ARGV  dedup TTL (s), instance, 1 if this batch may have been appended before (its reply was lost), 1 to take only
--       what is known here already (its lead has a new home, see ops/append.py), then
--       per item: kind (accept|ignore), event_id, lead_id, action, version, source, received_at, traceparent,
--       payload, number of forward texts (0|3), then these: id, headers, body ('' for the payload)
-- reply per item: {1 stored | 0 duplicate | -1 not known here, event id first accepted, entry id or ''}
--
-- A repeat of an erased event (the dedup key says so) is known, but its body is not kept.
--
-- A repeat writes even where all was stored before (the key's TTL): what waits for *the last write of this
-- connection* to be on disk or on replicas then waits for the first call's writes, too.
local webhooks, outcomes, forwards = KEYS[1], KEYS[2], KEYS[3]
local ttl, instance, again, only_known = ARGV[1], ARGV[2], ARGV[3] == '1', ARGV[4] == '1'
local WIDTH, LOOKBACK = 10, 1000

-- Whether this very delivery (same event, same time of receipt) is in the tail of a stream already.
local function stored_before(stream, event_id, received_at)
  for _, row in ipairs(redis.call('XREVRANGE', stream, '+', '-', 'COUNT', LOOKBACK)) do
    local same_event, same_time = false, false
    for i = 1, #row[2], 2 do
      same_event = same_event or (row[2][i] == 'event_id' and row[2][i + 1] == event_id)
      same_time = same_time or (row[2][i] == 'received_at' and row[2][i + 1] == received_at)
    end
    if same_event and same_time then return row[1] end
  end
  return false
end

local replies, at = {}, 4
for n = 1, (#KEYS - 3) / 2 do
  local kind, event_id, lead_id, action, version, source, received_at, traceparent, payload =
    ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4], ARGV[at + 5], ARGV[at + 6], ARGV[at + 7],
    ARGV[at + 8], ARGV[at + 9]
  local dedup, queue = KEYS[2 + n * 2], KEYS[3 + n * 2]
  local first = redis.call('GET', dedup)
  local erased = first and string.sub(first, -7) == '|erased'
  if erased then first = string.sub(first, 1, -8) end
  at = at + WIDTH
  local taken = first or not only_known
  if ARGV[at] == '3' then
    local id, headers, body = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
    at = at + 3
    if taken and (not first or id ~= event_id) then
      redis.call('XADD', forwards, '*', 'id', id, 'lead_id', lead_id, 'received_at', received_at,
        'headers', headers, 'body', body == '' and payload or body)
    end
  end
  if not taken then
    replies[n] = {-1, '', ''}
  elseif not first then
    local id
    if kind == 'ignore' then
      id = redis.call('XADD', outcomes, '*', 'type', 'event_ignored', 'event_id', event_id, 'lead_id', lead_id,
        'action', action, 'received_at', received_at, 'at', iso_now(), 'attempt', '0', 'fence', '0',
        'instance', instance, 'reason', 'unknown_action', 'source', source, 'payload', payload)
    else
      id = redis.call('XADD', webhooks, '*', 'event_id', event_id, 'lead_id', lead_id, 'action', action,
        'version', version, 'source', source, 'received_at', received_at, 'traceparent', traceparent,
        'payload', payload)
      redis.call('ZADD', queue, score_of(id), id)
    end
    redis.call('SET', dedup, event_id, 'EX', ttl)
    replies[n] = {1, event_id, id}
  else
    if again then redis.call('EXPIRE', dedup, ttl) end
    local mine = again and stored_before(kind == 'ignore' and outcomes or webhooks, first, received_at)
    if mine then
      replies[n] = {1, first, mine}
    else
      if not (again and stored_before(outcomes, first, received_at)) then
        if erased then payload = '' end
        redis.call('XADD', outcomes, '*', 'type', 'webhook_duplicated', 'event_id', first, 'lead_id', lead_id,
          'action', action, 'received_at', received_at, 'at', iso_now(), 'attempt', '0', 'fence', '0',
          'instance', instance, 'source', source, 'payload', payload)
      end
      replies[n] = {0, first, ''}
    end
  end
end
return replies
