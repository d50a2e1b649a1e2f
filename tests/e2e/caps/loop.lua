--- An endless compiled loop with a time limit, beside quick work.
-- SPDX-License-Identifier: MIT
local stuck = capability({
  name = "stuck",
  input = { "stuck" },
  timeout = "500ms",
  retries = 0,
  invoke = function()
    local n = 0
    while true do n = n + 1 end
  end,
})

local stubborn = capability({
  name = "stubborn",
  input = { "stuck" },
  timeout = "500ms",
  retries = 0,
  invoke = function()
    while true do pcall(function() while true do end end) end
  end,
})

local quick = capability({
  name = "quick",
  input = { "quick" },
  output = { "quick" },
  invoke = function(job, asset)
    local n = tonumber(asset.value)
    if n < 200 then job:send({ class = "quick", value = ("%d"):format(n + 1) }) end
  end,
})

return { stuck, stubborn, quick }
