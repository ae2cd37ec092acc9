-- Shared by all scripts (prepended by schema.scripts). Time is Redis time only: a machine whose clock is
-- wrong cannot shorten a lease or bring a retry forward.
local clock_s, clock_us

-- Read once: a script is one moment, and everything it writes bears the same time.
local function clock()
  if not clock_s then
    local t = redis.call('TIME')
    clock_s, clock_us = tonumber(t[1]), tonumber(t[2])
  end
  return clock_s, clock_us
end

local function now_ms()
  local s, us = clock()
  return s * 1000 + math.floor(us / 1000)
end

-- ISO-8601 in UTC of an epoch time (days-from-civil inverted; H. Hinnant, "chrono-compatible date algorithms").
local function iso(s, us)
  local days = math.floor(s / 86400)
  local rest = s - days * 86400
  local z = days + 719468
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local day = doy - math.floor((153 * mp + 2) / 5) + 1
  local month = mp < 10 and mp + 3 or mp - 9
  local year = yoe + era * 400 + (month <= 2 and 1 or 0)
  return string.format('%04d-%02d-%02dT%02d:%02d:%02d.%06dZ', year, month, day,
    math.floor(rest / 3600), math.floor(rest % 3600 / 60), rest % 60, us)
end

local iso_of_now

local function iso_now()
  iso_of_now = iso_of_now or iso(clock())
  return iso_of_now
end

local function iso_ms(ms)
  return iso(math.floor(ms / 1000), (ms % 1000) * 1000)
end

-- The next fence of a partition: Redis time in microseconds, or one more than the last where the clock has
-- not moved on (or moved back). So it grows within one Redis, and over a wiped one. Below 2^53: exact.
-- `most`: how many the script may ask for, this one included; they are reserved at once, for one write.
local last_fence, reserved = 0, 0

local function next_fence(key, most)
  if last_fence == reserved then
    local s, us = clock()
    last_fence = math.max(s * 1000000 + us - 1, tonumber(redis.call('GET', key) or '0'))
    reserved = last_fence + most
    redis.call('SET', key, string.format('%.0f', reserved))
  end
  last_fence = last_fence + 1
  return string.format('%.0f', last_fence)
end

-- A stream id as a sorted-set score: milliseconds, and the sequence as a fraction (exact up to 4,095).
local function score_of(entry_id)
  local ms, seq = string.match(entry_id, '^(%d+)-(%d+)$')
  return string.format('%.4f', tonumber(ms) + math.min(tonumber(seq), 4095) / 4096)
end

-- Who has an entry in the pending entries list; false where nobody does.
local function owner_of(stream, group, entry_id)
  local rows = redis.call('XPENDING', stream, group, entry_id, entry_id, 1)
  return rows[1] and rows[1][2] or false
end

-- The fields of one stream entry as a flat list; false where it was trimmed or deleted.
local function body_of(stream, entry_id)
  local rows = redis.call('XRANGE', stream, entry_id, entry_id)
  return rows[1] and rows[1][2] or false
end

-- Whether an entry is in the stream and no reader has been given it yet. It is in its lead's queue since it was
-- appended, so what came after it, read sooner by another instance, waits for it.
local function is_unread(stream, group, entry_id)
  local last = '0-0'
  for _, row in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local name, delivered
    for i = 1, #row, 2 do
      if row[i] == 'name' then name = row[i + 1] end
      if row[i] == 'last-delivered-id' then delivered = row[i + 1] end
    end
    if name == group then last = delivered end
  end
  local ms, seq = string.match(entry_id, '^(%d+)-(%d+)$')
  local last_ms, last_seq = string.match(last, '^(%d+)-(%d+)$')
  ms, seq, last_ms, last_seq = tonumber(ms), tonumber(seq), tonumber(last_ms), tonumber(last_seq)
  local later = ms > last_ms or (ms == last_ms and seq > last_seq)
  return later and body_of(stream, entry_id) ~= false
end

-- The two halves of a circuit breaker's window: counts older than both are forgotten.
local function turn_window(key, now, half_ms)
  local half = math.floor(now / half_ms)
  local last = tonumber(redis.call('HGET', key, 'half') or '0')
  if half == last then return end
  local calls, bad = '0', '0'
  if half == last + 1 then
    calls, bad = redis.call('HGET', key, 'calls') or '0', redis.call('HGET', key, 'bad') or '0'
  end
  redis.call('HSET', key, 'half', string.format('%.0f', half), 'calls0', calls, 'bad0', bad, 'calls', '0', 'bad', '0')
end
