-- Adds the members ARGV[2] and following to the channel KEYS[1], unless the token ARGV[1] of the fill
-- that they come from is gone. 1 if they are added.
if not redis.call('ZSCORE', KEYS[1], 'f' .. ARGV[1]) then return 0 end
for index = 2, #ARGV do
  redis.call('ZADD', KEYS[1], 0, ARGV[index])
end
return 1
