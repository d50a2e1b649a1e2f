--- What the specs of the bus share. SPDX-License-Identifier: MIT
local events = require("events")
local time = require("time")

local M = {}

--- Seconds that nothing here should need.
M.LONG = 30

local serial = 0

--- A name of its own for each test, so that none hears another.
function M.fresh(name)
  serial = serial + 1
  return ("%s%d"):format(name, serial)
end

function M.receive(ch)
  local value, ok, err = ch:receive(M.LONG)
  if err then error(tostring(err), 2) end
  return value, ok
end

--- The paths of the next `count` events.
function M.paths(ch, count)
  local list = {}
  for _ = 1, count do
    list[#list + 1] = M.receive(ch).path
  end
  return table.concat(list, " ")
end

function M.send_range(system, first, last)
  for i = first, last do
    assert(events.send(system, "k", tostring(i)))
  end
end

--- What was sent before is in every buffer: the bus confirms in its own order.
function M.settle()
  assert(events.subscribe("settle")):close()
end

--- Subscribers of a process that has ended go in a moment.
function M.wait_for_subscribers(count)
  local start = time.monotonic()
  while events.stats().subscribers ~= count and time.monotonic() - start < M.LONG do
    time.sleep(0.001)
  end
  local now = events.stats().subscribers
  if now ~= count then error(("%d subscribers, %d expected"):format(now, count), 2) end
end

return M
