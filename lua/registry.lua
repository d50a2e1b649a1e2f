--- registry - the capabilities of this runtime: who takes which class of asset.
-- What is registered reaches every open session at once.
-- SPDX-License-Identifier: MIT
local check = require("rt.check")
local core = require("rt.core.registry")
local errors = require("rt.errors")
local register = require("rt.register")

local M = {}

--- Add capabilities: a table as given to `capability`, a list of them, or the path of a file or a
--- folder. ALREADY_EXISTS for a name that is taken, INVALID naming the field of a faulty one.
---@param capability table|string
---@param opts table?  backfill=true: also for the assets that sessions have already
---@return true?, rt.Error?
function M.register(capability, opts)
  if type(capability) ~= "string" then check.table(capability, 1, "register") end
  check.optional_table(opts, 2, "register")
  if capability == "" then return nil, errors.make("register: empty path", "INVALID") end
  local names, err = register.add(capability, opts and opts.backfill)
  if not names then return nil, err end
  return true
end

--- Load a file or a folder again: what it declares otherwise than before takes the place of that,
--- for jobs that begin from now on; what it declares no longer is taken out. A changed module that
--- it requires is a change. When something is faulty, what was there before stays.
---@param path string
---@return string[]? names, rt.Error? err  those that are new, have changed or are gone
function M.reload(path)
  check.string(path, 1, "reload")
  if path == "" then return nil, errors.make("reload: empty path", "INVALID") end
  return register.reload(path)
end

--- Take a capability out. Its queued jobs are skipped until it is there again.
---@param name string
---@return true?, rt.Error?
function M.unregister(name)
  check.string(name, 1, "unregister")
  return core.remove(name)
end

--- The names of the capabilities that take a class, by priority, then in order of registration.
---@param class string
---@return string[]?, rt.Error?
function M.target_tasks(class)
  check.string(class, 1, "target_tasks")
  return core.target_tasks(class)
end

--- The declaration of a capability, without its functions and with its `file`.
---@param name string
---@return table?, rt.Error?
function M.get(name)
  check.string(name, 1, "get")
  return core.get(name)
end

--- All declarations, in order of registration.
---@return table[]
function M.list()
  return core.list()
end

--- The flow that the declarations imply: {capabilities, edges, cycles, warnings}.
---@return table
function M.plan()
  return core.plan()
end

return M
