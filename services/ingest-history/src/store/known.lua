-- Begins every script that reads the channel KEYS[1]: what Redis knows of it.
--
-- Ends with nothing when Redis does not know the channel, or when its history of writes is another
-- than the mark's. Else `floor` is the event before the earliest one that is there, and `top` the one
-- up to which the mark says that all are.
local events = KEYS[1]
local mark = redis.call('ZRANGE', events, '[w', '(x', 'BYLEX', 'LIMIT', 0, 1)[1]
if not mark then return false end
local floor, top, history = string.match(mark, '^w(%d+):(%d+):(%w+)$')
if history ~= string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)') then
  return false
end
local trimmed = redis.call('ZRANGE', events, '[t', '(u', 'BYLEX', 'LIMIT', 0, 1)[1]
if trimmed then
  trimmed = string.sub(trimmed, 2)
  if trimmed > floor then floor = trimmed end
end
