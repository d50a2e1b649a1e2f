--- rt.host - modules that the embedding program has added (rt/module.h).
-- Those in C are tables of functions, made once for each VM; those in Lua are text, which becomes
-- an instance of each process like any module of a script.
-- SPDX-License-Identifier: MIT
local core = require("rt.core.host")
local task = require("rt.task")

local await, begin = task.await, core.call

local M = {}

--- The Lua text of a module, or nil.
M.source = core.source

local function waiting(fn)
  return function(...)
    return await(begin(fn, ...))
  end
end

--- The functions of a module in C, or nil when there is none of this name.
function M.module(name)
  local functions = core.functions(name)
  if not functions then return nil end
  for key, fn in pairs(functions) do
    functions[key] = waiting(fn)
  end
  return functions
end

return M
