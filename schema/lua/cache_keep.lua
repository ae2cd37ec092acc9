-- cache_keep: the look-up is over: keep its answer (or nothing, where it failed) and let others ask.
--
-- KEYS  the answer, its lock
-- ARGV  token of the caller, answer or '', life of the answer (s)
-- reply 1 if the lock was still the caller's | 0
if ARGV[2] ~= '' then redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3]) end
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[2])
return 1
