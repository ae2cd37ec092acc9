-- renew: heartbeat of the leads in work. Only the owner may: a lease that lapsed and was taken by another is
-- left alone, and the sleeper learns that it lost it. The entry's idle time is reset with it (JUSTID: the
-- delivery counter stays), so that XAUTOCLAIM leaves it alone too.
--
-- KEYS  webhooks, then one lease per lead
-- ARGV  group, instance, lease TTL (ms), then per lead: lease value (instance|fence), entry id
-- reply per lead: 1 renewed | 0 lost
local webhooks = KEYS[1]
local group, instance, lease_ms = ARGV[1], ARGV[2], ARGV[3]

local replies = {}
for n = 1, #KEYS - 1 do
  local value, entry_id = ARGV[2 + n * 2], ARGV[3 + n * 2]
  if redis.call('GET', KEYS[n + 1]) == value then
    redis.call('PEXPIRE', KEYS[n + 1], lease_ms)
    redis.call('XCLAIM', webhooks, group, instance, 0, entry_id, 'JUSTID')
    replies[n] = 1
  else
    replies[n] = 0
  end
end
return replies
