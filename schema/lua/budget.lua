-- budget: reserve the next call to an outside API, for the whole fleet, by Redis time (GCRA: evenly spaced).
--
-- KEYS  the API's budget
-- ARGV  interval between calls (ms), pause from now (ms; after a 429, else 0)
-- reply ms to wait until the reserved moment
local interval, pause = tonumber(ARGV[1]), tonumber(ARGV[2])
local now = now_ms()
local free_at = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
if pause > 0 then
  free_at = math.max(free_at, now + pause)
  redis.call('SET', KEYS[1], string.format('%.0f', free_at), 'PX', math.ceil(free_at - now + interval + 1000))
  return free_at - now
end
local next_at = free_at + interval
redis.call('SET', KEYS[1], string.format('%.0f', next_at), 'PX', math.ceil(next_at - now + 1000))
return free_at - now
