--- Files under tests/data, as text or as a path, wherever the tests are run from.
-- SPDX-License-Identifier: MIT
local fs = require("fs")

local M = {}

local root = (arg and arg[0] or ""):match("^(.*)/[^/]*$") or "tests"

function M.path(name)
  return root .. "/data/" .. name
end

function M.read(name)
  return assert(fs.read(M.path(name)))
end

return M
