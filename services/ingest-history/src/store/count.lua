-- Counts the messages of the channel KEYS[1] after the sequence ARGV[2], or after what Redis holds if
-- that is later, leaving out those of the member ARGV[1].
--
-- Nothing when Redis does not know the channel; else { floor, count }.
local events, uid, after = KEYS[1], ARGV[1], ARGV[2]
local mark = redis.call('ZRANGE', events, '[w', '(x', 'BYLEX', 'LIMIT', 0, 1)[1]
if not mark then return false end
local floor, _, history = string.match(mark, '^w(%d+):(%d+):(%w+)$')
if history ~= string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)') then
  return false
end
local trimmed = redis.call('ZRANGE', events, '[t', '(u', 'BYLEX', 'LIMIT', 0, 1)[1]
if trimmed then
  trimmed = string.sub(trimmed, 2)
  if trimmed > floor then floor = trimmed end
end
if floor > after then after = floor end
local all = redis.call('ZLEXCOUNT', events, '(m' .. after .. '~', '(n')
local own = redis.call('ZLEXCOUNT', events, '(s' .. uid .. ':' .. after, '(s' .. uid .. ';')
return { floor, all - own }
