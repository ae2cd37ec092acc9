-- sweep: strike from the group the consumers that instances left behind when they died.
--
-- Only those with nothing pending: with a consumer goes its pending entries list, and with that the entries. A
-- living instance that is struck off by mistake is a consumer again with its next read.
--
-- KEYS  webhooks
-- ARGV  group, instance (never struck off), least idle time (ms)
-- reply how many were struck off
local webhooks = KEYS[1]
local group, instance, min_idle = ARGV[1], ARGV[2], tonumber(ARGV[3])

local struck = 0
for _, row in ipairs(redis.call('XINFO', 'CONSUMERS', webhooks, group)) do
  local consumer = {}
  for i = 1, #row, 2 do consumer[row[i]] = row[i + 1] end
  if consumer.name ~= instance and consumer.pending == 0 and consumer.idle >= min_idle then
    redis.call('XGROUP', 'DELCONSUMER', webhooks, group, consumer.name)
    struck = struck + 1
  end
end
return struck
