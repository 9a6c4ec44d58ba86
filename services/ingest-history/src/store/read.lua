-- Reads events of the channel KEYS[1], in one direction from a bound.
--
-- ARGV: 1 the sequence up to which the consumer's work is done, 2 'backward', 'forward' or 'since',
-- 3 the bound (before which, after which, or since which time), 4 the most events, 5 the most bytes.
-- Numbers that are compared are 20 digits long, so they are compared as they stand.
--
-- Nothing when Redis does not know the channel; else
-- { floor, certain, predecessor of the earliest event, whether the end was reached,
--   whether older events were skipped, events, edits }.
-- Edits come in pairs: the place of a message among the events, and the event that edits it. What is
-- deleted is left out: it may still have to be erased.
local certain, direction, bound = ARGV[1], ARGV[2], ARGV[3]
local limit, bytes_left = tonumber(ARGV[4]), tonumber(ARGV[5])
local CHUNK = 128

if top > certain then certain = top end

local from, to = '(e' .. floor .. '~', '(e' .. certain .. '~'
local backward = direction == 'backward'
if backward and bound <= certain then to = '(e' .. bound end
if direction == 'forward' and bound > floor then from = '(e' .. bound .. '~' end

local rows, edits, ended, skipped, predecessor = {}, {}, 1, 0, floor
local searching = direction == 'since'

-- Takes an event; false once there is no more room.
local function take(row)
  if searching then
    if string.sub(row, 23, 42) < bound then
      skipped = 1
      return true
    end
    searching = false
  end
  local edit, is_deleted
  if is_revised then edit, is_deleted = look_after(row) end
  if is_deleted then return true end
  bytes_left = bytes_left - #row - (edit and #edit or 0)
  if #rows >= limit or (bytes_left < 0 and #rows > 0) then
    ended = 0
    if backward then predecessor = string.sub(row, 2, 21) end
    return false
  end
  rows[#rows + 1] = row
  if edit then
    edits[#edits + 1] = #rows
    edits[#edits + 1] = edit
  end
  return true
end

local room = true
while room do
  local chunk
  if backward then
    chunk = redis.call('ZRANGE', events, to, from, 'BYLEX', 'REV', 'LIMIT', 0, math.min(limit + 1, CHUNK))
  else
    chunk = redis.call('ZRANGE', events, from, to, 'BYLEX', 'LIMIT', 0, math.min(limit + 1, CHUNK))
  end
  for _, row in ipairs(chunk) do
    room = room and take(row)
  end
  local last = chunk[#chunk]
  if not last then break end
  if backward then to = '(' .. last else from = '(' .. last end
end

if not backward and rows[1] then
  local seq, is_deleted = string.sub(rows[1], 2, 21), false
  local oldest = '(e' .. floor .. '~'
  repeat
    local before = redis.call('ZRANGE', events, '(e' .. seq, oldest, 'BYLEX', 'REV', 'LIMIT', 0, 1)[1]
    seq = before and string.sub(before, 2, 21) or floor
    is_deleted = before and is_revised and select(2, look_after(before))
  until not is_deleted
  predecessor = seq
end
return { floor, certain, predecessor, ended, skipped, rows, edits }
