-- record: note finished steps, and the send intent, of an event, if the lease is still ours.
--
-- KEYS  per event: lease, steps
-- ARGV  steps TTL (s), then per event: lease value (instance|fence), number of texts, these: field and value by turns
-- reply per event: 1 recorded | 0 lease lost, nothing changed
local steps_s = ARGV[1]

local replies, at = {}, 2
for n = 1, #KEYS / 2 do
  local lease, steps = KEYS[n * 2 - 1], KEYS[n * 2]
  local value, last = ARGV[at], at + 1 + tonumber(ARGV[at + 1])
  if redis.call('GET', lease) == value then
    redis.call('HSET', steps, unpack(ARGV, at + 2, last))
    redis.call('EXPIRE', steps, steps_s)
    replies[n] = 1
  else
    replies[n] = 0
  end
  at = last + 1
end
return replies
