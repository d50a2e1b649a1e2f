--- What specs of sessions share: a folder of their own, sessions that close, lists of iterators.
-- SPDX-License-Identifier: MIT
local session = require("session")
local time = require("time")

local M = {}

local count = 0
M.dir = ("%s/rt-spec-%d-%d"):format(
  os.getenv("TMPDIR") or "/tmp", math.floor(time.now() * 1e6) % 1e9, math.random(1e6))

local opened = {}

--- A new session with these capabilities; more options in `opts`.
function M.open(capabilities, opts)
  count = count + 1
  local all = { name = "s" .. count, dir = M.dir, capabilities = capabilities }
  for key, value in pairs(opts or {}) do
    all[key] = value
  end
  local s = assert(session.open(all))
  opened[#opened + 1] = s
  return s
end

--- Closes what a test has opened.
function M.close_all()
  for _, s in ipairs(opened) do
    s:close()
  end
  opened = {}
end

--- Dispatch values of a class and wait until the session is finished.
function M.run(s, class, values)
  for _, value in ipairs(values) do
    assert(s:dispatch({ class = class, value = value }))
  end
  return assert(s:wait("60s"))
end

function M.list(iterator)
  local all = {}
  for item in iterator do
    all[#all + 1] = item
  end
  return all
end

--- The values of all assets of a class, sorted.
function M.values(s, class)
  local all = {}
  for asset in s:assets({ class = class }) do
    all[#all + 1] = asset.value
  end
  table.sort(all)
  return all
end

--- The only job that matches, as a table.
function M.job(s, opts)
  local jobs = M.list(s:jobs(opts))
  assert(#jobs == 1, "expected one job, got " .. #jobs)
  return jobs[1]
end

--- Waits until `condition` is true.
function M.eventually(condition)
  local deadline = time.monotonic() + 30
  while time.monotonic() < deadline do
    local value = condition()
    if value then return value end
    time.sleep("5ms")
  end
  error("it did not happen within 30 s", 2)
end

return M
