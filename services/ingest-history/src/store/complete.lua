-- Ends a fill of the channel KEYS[1]: marks it as whole after the sequence ARGV[3] and known up to
-- ARGV[4], unless the token ARGV[1] is gone or the server's history of writes is not ARGV[2] any
-- more. 1 if it is marked.
local events, token, history, floor, top = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if history ~= string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)')
  or not redis.call('ZSCORE', events, 'f' .. token) then
  return 0
end
-- Tokens of fills that died go too. One that still lives finds its token gone, and the mark there.
redis.call('ZREMRANGEBYLEX', events, '[f', '(g')
redis.call('ZREMRANGEBYLEX', events, '[w', '(x')
-- Counts of an earlier history, and the right to keep more.
redis.call('ZREMRANGEBYLEX', events, '[c', '(d')
redis.call('ZREMRANGEBYLEX', events, '[n', '(p')
redis.call('ZADD', events, 0, 'w' .. floor .. ':' .. top .. ':' .. history)
return 1
