-- Keeps a count of messages that are no longer in the channel KEYS[1].
--
-- ARGV: 1 the token that count.lua gave, 2 the position, 3 and 4 after and up to which sequence they
-- were counted, 5 the sequence up to which the consumer's work is done, 6 the most members that may be
-- kept; then, in pairs, senders and how many messages each said.
--
-- 1 if it is kept. 0 if the token is gone: something has been deleted or forgotten since, and may have
-- been counted. 0 also if somebody else has kept more meanwhile.
local token, position, from, through, certain, most = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
if not redis.call('ZSCORE', events, 'n' .. token) then return 0 end
if redis.call('ZLEXCOUNT', events, '[c', '(d') + redis.call('ZLEXCOUNT', events, '[o', '(p') >= most then
  redis.call('ZREMRANGEBYLEX', events, '[c', '(d')
  redis.call('ZREMRANGEBYLEX', events, '[o', '(p')
end
local _, until_now = kept_of(position)
if until_now ~= from then return 0 end
local senders = {}
for index = 7, #ARGV, 2 do senders[ARGV[index]] = tonumber(ARGV[index + 1]) end
keep(position, through, senders)
-- What is here too, so that it need not be read from the log once it is not.
if top > certain then certain = top end
if floor <= through and certain > through then
  keep(position, certain, senders_between(through, certain))
end
return 1
