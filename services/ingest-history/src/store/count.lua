-- Counts the messages of the channel KEYS[1] after the sequence ARGV[2], or after what Redis holds if
-- that is later, leaving out those of the member ARGV[1].
--
-- Nothing when Redis does not know the channel; else { floor, count }.
local uid, after = ARGV[1], ARGV[2]
if floor > after then after = floor end
local all = redis.call('ZLEXCOUNT', events, '(m' .. after .. '~', '(n')
local own = redis.call('ZLEXCOUNT', events, '(s' .. uid .. ':' .. after, '(s' .. uid .. ';')
-- Those that are deleted and not yet erased. A deletion follows its message.
local deleted = 0
for _, revision in ipairs(redis.call('ZRANGE', events, '(r' .. after .. '~', '(s', 'BYLEX')) do
  if string.sub(revision, 44) == 'd' then
    local message = 'm' .. string.sub(revision, 2, 21) .. ':'
    local found = redis.call('ZRANGE', events, '[' .. message, '(' .. message .. '~', 'BYLEX')[1]
    if found and string.sub(found, 23) ~= uid then deleted = deleted + 1 end
  end
end
return { floor, all - own - deleted }
