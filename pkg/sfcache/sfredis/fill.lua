-- Stores a value in each of KEYS (each followed by its fence) if its token is
-- still there. ARGV, for each: token, 1 if there is a value, value, its life in
-- ms, 1 if the token stays. Answers, for each: 1 if the token was there.
local out = {}
for i = 1, #KEYS, 2 do
  local a = (i - 1) / 2 * 5
  local ours = 0
  if redis.call('GET', KEYS[i + 1]) == ARGV[a + 1] then
    ours = 1
    if ARGV[a + 2] == '1' then redis.call('SET', KEYS[i], ARGV[a + 3], 'PX', ARGV[a + 4]) end
    if ARGV[a + 5] ~= '1' then redis.call('DEL', KEYS[i + 1]) end
  end
  out[#out + 1] = ours
end
return out
