-- What the nodes of a fleet say of one circuit. KEYS[1] the nodes that live, KEYS[2] those whose circuit is open, both by when they said so.
-- ARGV: 1 the node, 2 whether its circuit is open (1 or 0), 3 milliseconds that a word counts, 4 the most nodes, 5 the channel, 6 the operation,
-- 7 the time (microseconds) after which nobody waits any more. Gives: nodes that are open, nodes, time (both -1: asked too late).
local clock = redis.call('TIME')
local micros = clock[1] * 1000000 + clock[2]
if micros > tonumber(ARGV[7]) then
  return {-1, -1, micros}
end
local now = math.floor(micros / 1000)
local lasting, most = tonumber(ARGV[3]), tonumber(ARGV[4])
local changed
if ARGV[2] == '1' then
  changed = redis.call('ZADD', KEYS[2], now, ARGV[1])
else
  changed = redis.call('ZREM', KEYS[2], ARGV[1])
end
redis.call('ZADD', KEYS[1], now, ARGV[1])
for i = 1, 2 do
  redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', now - lasting)
  -- Words of a clock that was ahead of this one.
  redis.call('ZREMRANGEBYSCORE', KEYS[i], now + 1, '+inf')
  redis.call('ZREMRANGEBYRANK', KEYS[i], 0, -most - 1)
  redis.call('PEXPIRE', KEYS[i], lasting)
end
if changed == 1 then
  redis.call('PUBLISH', ARGV[5], ARGV[6])
end
return {redis.call('ZCARD', KEYS[2]), redis.call('ZCARD', KEYS[1]), micros}
