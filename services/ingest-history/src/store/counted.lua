-- Follows known.lua in scripts that count: the counts that are kept of messages no longer here.
--
-- The member c<position>:<through>:<count> counts all messages after `position` up to `through`, and
-- o<position>:<uid>:<count> those of them that a member said, if there are any.

-- What is kept of `position`: the member, up to where, how many.
local function kept_of(position)
  local at = 'c' .. position .. ':'
  local kept = redis.call('ZRANGE', events, '[' .. at, '(' .. at .. '~', 'BYLEX', 'LIMIT', 0, 1)[1]
  if not kept then return nil, position, 0 end
  return kept, string.sub(kept, 23, 42), tonumber(string.sub(kept, 44))
end

-- Those that `uid` said: the member, how many.
local function own_of(position, uid)
  local at = 'o' .. position .. ':' .. uid .. ':'
  local own = redis.call('ZRANGE', events, '[' .. at, '(' .. at .. '~', 'BYLEX', 'LIMIT', 0, 1)[1]
  return own, own and tonumber(string.sub(own, #at + 1)) or 0
end

-- Moves what is kept of `position` on to `through`: by sender, the messages until there.
local function keep(position, through, senders)
  local kept, _, count = kept_of(position)
  if kept then redis.call('ZREM', events, kept) end
  for uid, more in pairs(senders) do
    local member, own = own_of(position, uid)
    if member then redis.call('ZREM', events, member) end
    own, count = string.format('%.0f', own + more), count + more
    redis.call('ZADD', events, 0, 'o' .. position .. ':' .. uid .. ':' .. own)
  end
  redis.call('ZADD', events, 0, 'c' .. position .. ':' .. through .. ':' .. string.format('%.0f', count))
end

-- The messages here after `after` up to `through` that are deleted and not yet erased, as a set of
-- their members.
local function deleted_between(after, through)
  local deleted = {}
  for _, revision in ipairs(redis.call('ZRANGE', events, '(r' .. after .. '~', '(r' .. through .. '~', 'BYLEX')) do
    if string.sub(revision, 44) == 'd' then
      local message = 'm' .. string.sub(revision, 2, 21) .. ':'
      local found = redis.call('ZRANGE', events, '[' .. message, '(' .. message .. '~', 'BYLEX')[1]
      if found then deleted[found] = true end
    end
  end
  return deleted
end

-- The messages here after `after` up to `through`, by sender.
local function senders_between(after, through)
  local senders, deleted = {}, deleted_between(after, through)
  for _, message in ipairs(redis.call('ZRANGE', events, '(m' .. after .. '~', '(m' .. through .. '~', 'BYLEX')) do
    if not deleted[message] then
      local uid = string.sub(message, 23)
      senders[uid] = (senders[uid] or 0) + 1
    end
  end
  return senders
end
