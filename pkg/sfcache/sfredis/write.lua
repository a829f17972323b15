-- Writes KEYS (each followed by its fence) whatever is loaded at the moment, and
-- tells the others. ARGV: channel or '', 1 to set and 0 to delete, value, its
-- life in ms, message.
for i = 1, #KEYS, 2 do
  if ARGV[2] == '1' then
    redis.call('SET', KEYS[i], ARGV[3], 'PX', ARGV[4])
  else
    redis.call('DEL', KEYS[i])
  end
  redis.call('DEL', KEYS[i + 1])
end
if ARGV[1] ~= '' then redis.call('PUBLISH', ARGV[1], ARGV[5]) end
return {}
