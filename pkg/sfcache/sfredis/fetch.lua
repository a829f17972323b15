-- Values of KEYS, each followed by its fence, and tokens for those that want one.
-- ARGV: what to ask for (0: tokens for missing values, 1: for all, 2: for all,
-- whoever has one), a new token, its life in ms.
-- Answers, for each key: value or nil, its life in ms, token or nil, 1 if new.
local out = {}
for i = 1, #KEYS, 2 do
  local value = redis.call('GET', KEYS[i])
  local life = 0
  if value then life = redis.call('PTTL', KEYS[i]) end
  local token, new = false, 0
  if not value or ARGV[1] ~= '0' then
    if ARGV[1] ~= '2' then token = redis.call('GET', KEYS[i + 1]) end
    if not token then
      token, new = ARGV[2], 1
      redis.call('SET', KEYS[i + 1], token, 'PX', ARGV[3])
    end
  end
  out[#out + 1] = value
  out[#out + 1] = life
  out[#out + 1] = token
  out[#out + 1] = new
end
return out
