-- trim: take from the streams what is archived and nobody needs any more.
--
-- The checkpoint comes from Postgres, after the commit that archived everything up to it. An entry goes only if
-- it lies below the checkpoint AND below what every consumer group of its stream still has before it: its oldest
-- pending entry, or the last one delivered to it. So nothing unarchived, undelivered or unacknowledged is ever
-- taken. The newest `keep` entries stay in any case: append looks back into them. A stream is left alone
-- altogether where its newest id is below the checkpoint (it is another stream than the one that was archived)
-- or where the group that must be there is not (nobody could tell what it still needs).
--
-- Whole nodes of the stream are taken (~), and at most a bounded number of entries at a time: no long halt.
--
-- What is older than a given id goes whatever `keep` says, and to the entry, not only whole nodes: payloads past
-- their retention, or sealed with a key that is to be removed. The same conditions hold for it.
--
-- KEYS  webhooks, outcomes, dead
-- ARGV  keep, group that webhooks must have, checkpoint of webhooks or '', checkpoint of outcomes or '',
--       epoch ms before which dead letters go, or '', id below which webhooks go whatever keep says, or '',
--       likewise of outcomes
-- reply {webhooks taken, outcomes taken, dead letters taken}
local MOST = 20000
local keep = tonumber(ARGV[1])

-- Ids as text, by number: they may exceed what a Lua number holds exactly.
local function number_below(a, b)
  if #a ~= #b then return #a < #b end
  return a < b
end

local function below(a, b)
  local a_ms, a_seq = string.match(a, '^(%d+)-(%d+)$')
  local b_ms, b_seq = string.match(b, '^(%d+)-(%d+)$')
  if a_ms ~= b_ms then return number_below(a_ms, b_ms) end
  return number_below(a_seq, b_seq)
end

local function fields(list)
  local map = {}
  for i = 1, #list, 2 do map[list[i]] = list[i + 1] end
  return map
end

local function least_of(a, b)
  if below(b, a) then return b end
  return a
end

local function after(id)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  return ms .. '-' .. string.format('%.0f', tonumber(seq) + 1)
end

-- Entry by entry below an id. Whole nodes first, so that what is left for the exact pass is less than one.
local function take(stream, bound)
  local taken = redis.call('XTRIM', stream, 'MINID', '~', bound, 'LIMIT', MOST)
  if taken > MOST / 2 then return taken end
  return taken + redis.call('XTRIM', stream, 'MINID', '=', bound)
end

local function trim(stream, checkpoint, needed, old)
  if checkpoint == '' or redis.call('EXISTS', stream) == 0 then return 0 end
  local excess = redis.call('XLEN', stream) - keep
  if excess <= 0 and old == '' then return 0 end
  if below(fields(redis.call('XINFO', 'STREAM', stream))['last-generated-id'], checkpoint) then return 0 end
  local least, done, found = checkpoint, after(checkpoint), needed == ''
  for _, row in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local group = fields(row)
    local need = group['last-delivered-id']
    local past = after(need)
    if group['pending'] > 0 then
      need = redis.call('XPENDING', stream, group['name'])[2] or need
      past = need
    end
    least, done = least_of(least, need), least_of(done, past)
    found = found or group['name'] == needed
  end
  if not found then return 0 end
  local taken = 0
  if old ~= '' then taken = take(stream, least_of(done, old)) end
  if excess <= taken then return taken end
  return taken + redis.call('XTRIM', stream, 'MINID', '~', least, 'LIMIT', math.min(excess - taken, MOST))
end

local dead = 0
if ARGV[5] ~= '' then dead = redis.call('XTRIM', KEYS[3], 'MINID', '~', ARGV[5] .. '-0', 'LIMIT', MOST) end
return {trim(KEYS[1], ARGV[3], ARGV[2], ARGV[6]), trim(KEYS[2], ARGV[4], '', ARGV[7]), dead}
