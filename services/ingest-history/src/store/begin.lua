-- Begins to fill the channel KEYS[1]: leaves the token ARGV[1] there, for ARGV[2] seconds at least.
-- The answer names the history of writes that this server has now.
redis.call('ZADD', KEYS[1], 0, 'f' .. ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
return string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)')
