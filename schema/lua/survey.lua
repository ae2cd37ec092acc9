-- survey: one partition at a glance, for alerts: what waits, what is not on record yet, who is alive. Reads only.
--
-- KEYS  webhooks, outcomes, dead, previous-secret mark
-- ARGV  group, last recorded id of webhooks, of outcomes
-- reply {now (ms), oldest entry without an end ('' for none), oldest unrecorded entry of webhooks, of outcomes,
--        dead letters, ms since a processor was last heard of (-1 for none), ms since the mark was set (-1)}
local webhooks, outcomes, dead, mark = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local group, seen_webhooks, seen_outcomes = ARGV[1], ARGV[2], ARGV[3]

local function first_after(stream, id)
  local rows = redis.call('XRANGE', stream, '(' .. id, '+', 'COUNT', 1)
  return rows[1] and rows[1][1] or ''
end

local function older(a, b)
  if a == '' or b == '' then return a .. b end
  return tonumber(score_of(a)) <= tonumber(score_of(b)) and a or b
end

local function field(flat, name)
  for i = 1, #flat, 2 do
    if flat[i] == name then return flat[i + 1] end
  end
end

local waiting, idle = '', -1
local groups = redis.pcall('XINFO', 'GROUPS', webhooks)
if not groups.err then
  local found = false
  for _, row in ipairs(groups) do
    if field(row, 'name') == group then
      found = true
      local pending = redis.call('XPENDING', webhooks, group)
      waiting = older(pending[2] or '', first_after(webhooks, field(row, 'last-delivered-id')))
      for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', webhooks, group)) do
        local ms = field(consumer, 'idle')
        if idle < 0 or ms < idle then idle = ms end
      end
    end
  end
  if not found then waiting = first_after(webhooks, '0-0') end
end
local used = tonumber(redis.call('GET', mark) or '-1')
return {now_ms(), waiting, first_after(webhooks, seen_webhooks), first_after(outcomes, seen_outcomes),
  redis.call('XLEN', dead), idle, used < 0 and -1 or math.max(0, now_ms() - used)}
