---@meta registry
-- What editors know of the registry: local registry = require("registry").
-- SPDX-License-Identifier: MIT

---@class rt.Plan
---@field capabilities table[]  {name, input, output, priority, file}
---@field edges table[]         {from, to, class}
---@field cycles string[][]
---@field warnings string[]

---@class rt.registry
local registry = {}

--- Add capabilities: a declaration, a list of them, or the path of a file or folder.
---@param capability rt.Declaration|rt.Declaration[]|string
---@param opts { backfill: boolean? }?  backfill: also for the assets sessions have already
---@return true? ok, rt.Error? err  ALREADY_EXISTS, INVALID naming the field
function registry.register(capability, opts) end

--- Load a file or a folder again, after it has changed.
---@param path string
---@return string[]? names, rt.Error? err  those that are new, have changed or are gone
function registry.reload(path) end

--- Take a capability out. Its queued jobs are skipped until it is there again.
---@param name string
---@return true? ok, rt.Error? err
function registry.unregister(name) end

--- The names of those that take a class, by priority, then in order of registration.
---@param class string
---@return string[]? names, rt.Error? err
function registry.target_tasks(class) end

--- A declaration, without its functions and with its `file`.
---@param name string
---@return table? declaration, rt.Error? err
function registry.get(name) end

--- All declarations, in order of registration.
---@return table[]
function registry.list() end

--- The flow that the declarations imply.
---@return rt.Plan
function registry.plan() end

return registry
