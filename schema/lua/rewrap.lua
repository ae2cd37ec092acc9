-- rewrap: put re-sealed texts in the place of those they were made from; what changed meanwhile stays as it is.
--
-- KEYS  a hash (steps), a string (cached look-up) or a stream (dead letters)
-- ARGV  hash: 'hash', then per field: name, old text, new text
--       string: 'string', old text, new text
--       stream: 'stream', entry id, then the new entry's fields: it takes the old one's place at the end
-- reply how many texts or entries were replaced
local key, kind, done = KEYS[1], ARGV[1], 0

if kind == 'hash' then
  for n = 2, #ARGV, 3 do
    if redis.call('HGET', key, ARGV[n]) == ARGV[n + 1] then
      redis.call('HSET', key, ARGV[n], ARGV[n + 2])
      done = done + 1
    end
  end
elseif kind == 'string' then
  if redis.call('GET', key) == ARGV[2] then
    redis.call('SET', key, ARGV[3], 'KEEPTTL')
    done = 1
  end
elseif redis.call('XDEL', key, ARGV[2]) == 1 then
  redis.call('XADD', key, '*', unpack(ARGV, 3))
  done = 1
end
return done
