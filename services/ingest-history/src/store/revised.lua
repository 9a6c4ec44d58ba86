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
-- The latest event that edits the message in `row`, if there is one, and whether the event is of a message
-- that is deleted: that message, or an edit of it, which says what it said.
local function look_after(row)
  local edit, is_deleted = revision(string.sub(row, 2, 21))
  if string.sub(row, 44, 59) == '{"type":"edited"' then
    local message = cjson.decode(string.sub(row, 44)).message
    is_deleted = select(2, revision(string.format('%020.0f', message)))
  end
  return edit, is_deleted
end
-- As a rule nothing has been edited or deleted, and no message is looked after.
local is_revised = redis.call('ZRANGE', events, '[r', '(s', 'BYLEX', 'LIMIT', 0, 1)[1] ~= nil
