-- The limit of a fleet: the generic cell rate algorithm (ITU-T I.371) as a debt that time works off, by the clock of this server.
-- KEYS[1] the limit. ARGV: 1 units a microsecond, 2 units a token, 3 burst; tokens 4 owed, 5 wanted, 6 least of them or none, 7 returned,
-- 8 microseconds since those were given; 9 and 10 the time and debt that the asker saw last; 11 the time after which nobody waits any more.
-- Gives: tokens granted (-1: asked too late, nothing was done), tokens left, microseconds until there is one (or the least), time, debt.
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local scale, interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local owed, wanted, least, returned = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
if now > tonumber(ARGV[11]) then
  return {-1, 0, 0, now, 0}
end
local full = interval * burst
-- The largest debt: all numbers are exact up to twice as much. It is thousands of bursts, or a century.
local most = 2 ^ 52

-- What is left of a debt now; a clock that went back works off nothing.
local function left(debt, since, pace)
  return math.max(0, debt - math.max(0, now - since) * pace)
end

local state = redis.call('HMGET', KEYS[1], 'at', 'debt', 'scale', 'interval', 'burst', 'full')
for i = 1, 6 do
  state[i] = tonumber(state[i]) or -1
end
local at, debt, old_scale, old_interval, old_burst = state[1], state[2], state[3], state[4], state[5]
local full_at = state[6]
if at >= 0 and debt >= 0 and debt <= most and old_scale >= 1 and old_interval >= 1 and old_burst >= 1 then
  debt = left(debt, at, old_scale)
  if old_scale ~= scale or old_interval ~= interval or old_burst ~= burst then
    -- Another quota: what was there is there, up to the new burst.
    local tokens = math.min(old_burst - debt / old_interval, burst)
    debt = math.ceil((burst - tokens) * interval)
  end
else
  at, debt = -1, 0
end
-- What is stored is older than what the asker saw: writes were lost, and he remembers them.
if tonumber(ARGV[9]) > at then
  debt = math.max(debt, left(tonumber(ARGV[10]), tonumber(ARGV[9]), scale))
end

-- When nothing was owed last: from then on nothing that came in was lost.
if debt == 0 or full_at < 0 then
  full_at = now
end
-- Returned tokens count whole if they were given after that, else as they would after an idle time: time may have used them up.
local held = tonumber(ARGV[8])
local worth = returned * interval
if now - held <= full_at then
  worth = math.max(0, worth - held * scale)
end
debt = math.max(0, debt - worth)
debt = math.min(debt + owed * interval, most)
local free = math.max(0, math.floor((full - debt) / interval))
local granted = math.min(wanted, free)
if granted < least then
  granted = 0
end
debt = debt + granted * interval
local short = debt + math.max(least, 1) * interval - full

local function whole(number)
  return string.format('%.0f', number)
end
redis.call('HSET', KEYS[1], 'at', whole(now), 'debt', whole(debt), 'scale', whole(scale), 'interval', whole(interval), 'burst', whole(burst), 'full', whole(full_at))
redis.call('PEXPIRE', KEYS[1], whole(math.ceil(debt / scale / 1000) + 1000))
return {granted, free - granted, math.max(0, math.ceil(short / scale)), now, debt}
