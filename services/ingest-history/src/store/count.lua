-- Counts the messages of the channel KEYS[1] after the sequence ARGV[2], or after what Redis holds if
-- that is later, leaving out those of the member ARGV[1].
--
-- Nothing when Redis does not know the channel; else { floor, count }.
local uid, after = ARGV[1], ARGV[2]
if floor > after then after = floor end
local all = redis.call('ZLEXCOUNT', events, '(m' .. after .. '~', '(n')
local own = redis.call('ZLEXCOUNT', events, '(s' .. uid .. ':' .. after, '(s' .. uid .. ';')
return { floor, all - own }
