-- record: note a finished step or the send intent of an event, if the lease is still ours.
--
-- KEYS  per event: lease, steps
-- ARGV  steps TTL (s), then per event: lease value (instance|fence), field, value
-- reply per event: 1 recorded | 0 lease lost, nothing changed
local steps_s = ARGV[1]

local replies = {}
for n = 1, #KEYS / 2 do
  local lease, steps = KEYS[n * 2 - 1], KEYS[n * 2]
  local value, field, text = ARGV[n * 3 - 1], ARGV[n * 3], ARGV[n * 3 + 1]
  if redis.call('GET', lease) == value then
    redis.call('HSET', steps, field, text)
    redis.call('EXPIRE', steps, steps_s)
    replies[n] = 1
  else
    replies[n] = 0
  end
end
return replies
