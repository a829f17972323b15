-- Values of KEYS, each followed by its fence, and tokens for those that want one.
-- ARGV: what to ask for (0: tokens for missing values, 1: for all, 2: for all,
-- whoever has one), a new token, its life in ms.
-- Answers, for each key: value or nil, its life in ms, token or nil, 1 if new.
-- There is no token where none can be used: what is there is no string and not
-- ours to replace, or Redis is full.
local function is(reply, name)
  return type(reply) == 'table' and reply.err and string.find(reply.err, name, 1, true)
end
local out = {}
for i = 1, #KEYS, 2 do
  local value = redis.pcall('GET', KEYS[i])
  local foreign = is(value, 'WRONGTYPE')
  if foreign then
    value = false
  elseif type(value) == 'table' then
    return value
  end
  local life = 0
  if value then life = redis.call('PTTL', KEYS[i]) end
  local token, new = false, 0
  if not foreign and (not value or ARGV[1] ~= '0') then
    if ARGV[1] ~= '2' then token = redis.call('GET', KEYS[i + 1]) end
    if not token then
      token = ARGV[2]
      local set = redis.pcall('SET', KEYS[i + 1], token, 'PX', ARGV[3])
      if is(set, 'OOM') then
        token = false
      elseif set.err then
        return set
      end
    end
    -- The token may be this very call's: a client that lost the answer asks again.
    if token == ARGV[2] then new = 1 end
  end
  out[#out + 1] = value
  out[#out + 1] = life
  out[#out + 1] = token
  out[#out + 1] = new
end
return out
