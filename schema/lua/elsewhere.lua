-- elsewhere: what a partition has of one lead, while the number of partitions is being changed. Its processor asks
-- from another partition, holding the lead's lease there (see processor/elsewhere.py). Reads only, but for entries of
-- the queue that were acked or deleted behind our back: those are swept out, as `enter` does.
--
-- KEYS  webhooks, queue of the lead, lease, state, dedup key of the event
-- ARGV  group
-- reply {the lead's oldest entry that is not over, or '', 1 if it is in work | 0, what the last processed event said of
--        its contact or '', life left of that (ms), 1 if the event was accepted here | 0}
local webhooks, queue, lease, state, dedup = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local group = ARGV[1]

local function is_grouped()
  if redis.call('EXISTS', webhooks) == 0 then return false end
  for _, row in ipairs(redis.call('XINFO', 'GROUPS', webhooks)) do
    for i = 1, #row, 2 do
      if row[i] == 'name' and row[i + 1] == group then return true end
    end
  end
  return false
end

-- While the group is being made (anew), nobody can say which entries are over: none is.
local head = redis.call('ZRANGE', queue, 0, 0)[1]
if head and is_grouped() then
  while head and not owner_of(webhooks, group, head) and not is_unread(webhooks, group, head) do
    redis.call('ZREM', queue, head)
    head = redis.call('ZRANGE', queue, 0, 0)[1]
  end
end
return {head or '', redis.call('EXISTS', lease), redis.call('GET', state) or '', redis.call('PTTL', state),
  redis.call('EXISTS', dedup)}
