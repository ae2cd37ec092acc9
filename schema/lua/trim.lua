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
-- KEYS  webhooks, outcomes, dead
-- ARGV  keep, group that webhooks must have, checkpoint of webhooks or '', checkpoint of outcomes or '',
--       epoch ms before which dead letters go, or ''
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

local function trim(stream, checkpoint, needed)
  if checkpoint == '' or redis.call('EXISTS', stream) == 0 then return 0 end
  local excess = redis.call('XLEN', stream) - keep
  if excess <= 0 then return 0 end
  if below(fields(redis.call('XINFO', 'STREAM', stream))['last-generated-id'], checkpoint) then return 0 end
  local least, found = checkpoint, needed == ''
  for _, row in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local group = fields(row)
    local need = group['last-delivered-id']
    if group['pending'] > 0 then need = redis.call('XPENDING', stream, group['name'])[2] or need end
    if below(need, least) then least = need end
    found = found or group['name'] == needed
  end
  if not found then return 0 end
  return redis.call('XTRIM', stream, 'MINID', '~', least, 'LIMIT', math.min(excess, MOST))
end

local dead = 0
if ARGV[5] ~= '' then dead = redis.call('XTRIM', KEYS[3], 'MINID', '~', ARGV[5] .. '-0', 'LIMIT', MOST) end
return {trim(KEYS[1], ARGV[3], ARGV[2]), trim(KEYS[2], ARGV[4], ''), dead}
