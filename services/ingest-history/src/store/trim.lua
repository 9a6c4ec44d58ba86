-- Removes the oldest events of the channel KEYS[1] beyond ARGV[1] of them, and notes how far.
local events, window = KEYS[1], tonumber(ARGV[1])
local surplus = redis.call('ZLEXCOUNT', events, '[e', '(f') - window
if surplus <= 0 then return 0 end
local last = redis.call('ZRANGE', events, '[e', '(f', 'BYLEX', 'LIMIT', surplus - 1, 1)[1]
local seq = string.sub(last, 2, 21)
for _, message in ipairs(redis.call('ZRANGE', events, '[m', '(m' .. seq .. '~', 'BYLEX')) do
  redis.call('ZREM', events, 's' .. string.sub(message, 23) .. ':' .. string.sub(message, 2, 21))
end
redis.call('ZREMRANGEBYLEX', events, '[m', '(m' .. seq .. '~')
redis.call('ZREMRANGEBYLEX', events, '[r', '(r' .. seq .. '~')
redis.call('ZREMRANGEBYLEX', events, '[e', '(e' .. seq .. '~')
-- An event that is written late can lie before what was removed already.
local trimmed = redis.call('ZRANGE', events, '[t', '(u', 'BYLEX', 'LIMIT', 0, 1)[1]
if not trimmed or string.sub(trimmed, 2) < seq then
  redis.call('ZREMRANGEBYLEX', events, '[t', '(u')
  redis.call('ZADD', events, 0, 't' .. seq)
end
return surplus
