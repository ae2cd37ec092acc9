-- depth: how much waits in one partition, for a scrape of the metrics. Reads only.
--
-- KEYS  webhooks, retries, parked
-- ARGV  group, most entries to count where the server does not know how many are undelivered (Redis 6.2)
-- reply {undelivered, pending (delivered, without an end), of these waiting for a retry, parked}
local webhooks, retries, parked = KEYS[1], KEYS[2], KEYS[3]
local group, most = ARGV[1], tonumber(ARGV[2])

local function after(last)
  return #redis.call('XRANGE', webhooks, '(' .. last, '+', 'COUNT', most)
end

local function undelivered_of(row)
  local last = '0-0'
  for i = 1, #row, 2 do
    if row[i] == 'lag' and type(row[i + 1]) == 'number' then return row[i + 1] end
    if row[i] == 'last-delivered-id' then last = row[i + 1] end
  end
  return after(last)
end

local undelivered, pending = false, 0
local groups = redis.pcall('XINFO', 'GROUPS', webhooks)
if not groups.err then
  for _, row in ipairs(groups) do
    if row[2] == group then
      undelivered = undelivered_of(row)
      pending = redis.call('XPENDING', webhooks, group)[1]
    end
  end
end
if not undelivered then undelivered = after('0-0') end
return {undelivered, pending, redis.call('ZCARD', retries), redis.call('ZCARD', parked)}
