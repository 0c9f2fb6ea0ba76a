-- For wrk: counts the answers by status, and prints one line of JSON at the end.
local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init()
  counts = {}
end

function response(status)
  counts[status] = (counts[status] or 0) + 1
end

function done(summary)
  local all = {}
  for _, thread in ipairs(threads) do
    for status, count in pairs(thread:get("counts")) do
      all[status] = (all[status] or 0) + count
    end
  end
  local parts = {}
  for status, count in pairs(all) do
    table.insert(parts, string.format('"%d":%d', status, count))
  end
  local errors = summary.errors
  print(string.format('{"statuses":{%s},"requests":%d,"connect":%d,"read":%d,"write":%d,"timeout":%d}',
    table.concat(parts, ","), summary.requests, errors.connect, errors.read, errors.write, errors.timeout))
end
