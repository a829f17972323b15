-- Writes KEYS (each followed by its fence) whatever is loaded at the moment, and
-- tells the others. ARGV: channel or '', 1 to set and 0 to delete, value, its
-- life in ms, message.
-- The old value goes first and the others are told even where the new one
-- cannot be stored, as in a Redis that is full: it is old all the same.
local failed
for i = 1, #KEYS, 2 do
  redis.call('DEL', KEYS[i], KEYS[i + 1])
  if ARGV[2] == '1' then
    local set = redis.pcall('SET', KEYS[i], ARGV[3], 'PX', ARGV[4])
    if set.err then failed = set end
  end
end
if ARGV[1] ~= '' then redis.call('PUBLISH', ARGV[1], ARGV[5]) end
return failed or {}
