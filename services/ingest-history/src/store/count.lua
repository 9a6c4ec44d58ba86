-- Counts the messages of the channel KEYS[1] after the sequence ARGV[2] that the member ARGV[1] did not
-- say, as far as they are here or counts of them are kept.
--
-- ARGV: 3 the sequence up to which the consumer's work is done, 4 the token of a count that is to be
-- kept; empty if none may be, 5 with how many events behind it a kept count is moved on.
--
-- Nothing when Redis does not know the channel; else { count, through }: they are counted up to there.
-- { count, through, from, floor, token } if those after `from` up to `floor` are to be added from the
-- log; the count may then be kept while that token is here.
local uid, position, certain, token, far = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
if top > certain then certain = top end
local kept, from, count = nil, position, 0
if token ~= '' then
  kept, from, count = kept_of(position)
  if kept then count = count - select(2, own_of(position, uid)) end
end
local after = from
if floor > after then after = floor end
local through = certain
if after > through then through = after end

local all = redis.call('ZLEXCOUNT', events, '(m' .. after .. '~', '(m' .. through .. '~')
local own = redis.call('ZLEXCOUNT', events, '(s' .. uid .. ':' .. after, '[s' .. uid .. ':' .. through)
count = count + all - own
for message in pairs(deleted_between(after, through)) do
  if string.sub(message, 23) ~= uid then count = count - 1 end
end

if floor <= from then
  -- Else what follows it may have left before anybody asks again.
  if kept and redis.call('ZLEXCOUNT', events, '(e' .. after .. '~', '(e' .. through .. '~') > far then
    keep(position, through, senders_between(after, through))
  end
  return { count, through }
end
if token ~= '' then
  local held = redis.call('ZRANGE', events, '[n', '(o', 'BYLEX', 'LIMIT', 0, 1)[1]
  if held then
    token = string.sub(held, 2)
  elseif type(redis.pcall('ZADD', events, 0, 'n' .. token)) == 'table' then
    -- Refused, for want of memory: then the count is told and not kept.
    token = ''
  end
end
return { count, through, from, floor, token }
