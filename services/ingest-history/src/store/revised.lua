-- Follows known.lua in scripts that show messages: what has become of one.

-- The latest event that edits the message at `seq`, if there is one, and whether it is deleted.
local function revision(seq)
  local newest, oldest = '(r' .. seq .. '~', '[r' .. seq
  local last = redis.call('ZRANGE', events, newest, oldest, 'BYLEX', 'REV', 'LIMIT', 0, 1)[1]
  if not last then return nil, false end
  if string.sub(last, 44) == 'd' then return nil, true end
  local at = 'e' .. string.sub(last, 23, 42)
  return redis.call('ZRANGE', events, '[' .. at, '(' .. at .. '~', 'BYLEX', 'LIMIT', 0, 1)[1], false
end
-- As a rule nothing has been edited or deleted, and no message is looked after.
local is_revised = redis.call('ZRANGE', events, '[r', '(s', 'BYLEX', 'LIMIT', 0, 1)[1] ~= nil
