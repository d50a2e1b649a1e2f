--- rt.permit - what scripts may use where only some of it is allowed (--allow, opts.allow).
-- Four groups: net, fs, exec, env. What is not allowed stays where it is and answers nil and an
-- error of kind PERMISSION_DENIED that names the group; code that only looks whether it is there
-- goes on working. The library itself is not held back.
-- SPDX-License-Identifier: MIT
local errors = require("rt.errors")
local settings = require("rt.core.task").settings()

local M = {}

local GROUPS = {
  dns = "net", http = "net", tcp = "net", tls = "net", udp = "net",
  fs = "fs", session = "fs",
  exec = "exec",
}

local allowed = nil -- all
if settings.allow then
  allowed = {}
  for word in settings.allow:gmatch("[^,%s]+") do
    allowed[word] = true
  end
end

--- The error for a use of `group` by `what`, or nil when it is allowed.
---@param group "net"|"fs"|"exec"|"env"
---@param what string  as in the script: "io.open"
---@return rt.Error?
function M.denied(group, what)
  if not allowed or allowed[group] then return nil end
  local text = ("%s: '%s' is not allowed to scripts (--allow %s)"):format(what, group, group)
  return errors.make(text, "PERMISSION_DENIED")
end

--- `fn` of the library, or what refuses in its place.
function M.guard(group, what, fn)
  if not M.denied(group, what) then return fn end
  return function()
    return nil, M.denied(group, what)
  end
end

--- A module as scripts get it.
---@param name string
---@param module any
function M.module(name, module)
  local group = GROUPS[name]
  if not group or not M.denied(group, name) or type(module) ~= "table" then return module end
  local made = {}
  for key, value in pairs(module) do
    if type(value) == "function" then value = M.guard(group, name .. "." .. key, value) end
    made[key] = value
  end
  return made
end

return M
