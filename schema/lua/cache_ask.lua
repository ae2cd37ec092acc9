-- cache_ask: a look-up asks whether its answer is known, or may be fetched: one look-up in flight for the fleet.
--
-- KEYS  the answer, its lock
-- ARGV  token of the caller, life of the lock (ms); whoever holds it and asks again holds it so long anew
-- reply {'hit', answer} | {'mine'} (fetch it, then cache_keep) | {'wait', ms of the lock left}
local answer = redis.call('GET', KEYS[1])
if answer then return {'hit', answer} end
if redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then return {'mine'} end
if redis.call('GET', KEYS[2]) == ARGV[1] then
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
  return {'mine'}
end
return {'wait', math.max(1, redis.call('PTTL', KEYS[2]))}
