--- What the runtime under test is built with. SPDX-License-Identifier: MIT
local exec = require("exec")

local M = {}

local version = assert(exec.run("/proc/self/exe", { "--version" })).stdout

--- The packaged LuaJIT looks at nothing inside a pattern match, so that cannot be stopped.
M.packaged = version:find("packaged LuaJIT", 1, true) ~= nil

--- `it` and the name of a test that long pattern matches are stopped; with the packaged LuaJIT
--- `pending`, and why.
function M.stops_patterns(it, pending, name)
  if not M.packaged then return it, name end
  return pending, name .. " (needs the check in our build of LuaJIT)"
end

return M
