-- The latest message of the channel KEYS[1] up to the sequence ARGV[1], up to which the consumer's
-- work is done.
--
-- Nothing when Redis does not know the channel; else { floor }, or { floor, message, predecessor }
-- if it holds one, and the event that edits it if one does.
local certain = ARGV[1]
if top > certain then certain = top end
local newest, oldest = '(m' .. certain .. '~', '(m' .. floor .. '~'
local message, edit, is_deleted
repeat
  message = redis.call('ZRANGE', events, newest, oldest, 'BYLEX', 'REV', 'LIMIT', 0, 1)[1]
  if not message then return { floor } end
  edit, is_deleted = revision(string.sub(message, 2, 21))
  newest = '(' .. message
until not is_deleted
newest, oldest = '(e' .. string.sub(message, 2, 21) .. '~', '(e' .. floor .. '~'
local rows = redis.call('ZRANGE', events, newest, oldest, 'BYLEX', 'REV', 'LIMIT', 0, 2)
local predecessor = floor
if rows[2] then predecessor = string.sub(rows[2], 2, 21) end
return { floor, rows[1], predecessor, edit }
