---@meta supervisor
-- What editors know of supervisors. SPDX-License-Identifier: MIT

---@class rt.Backoff
---@field initial number|string?   before the first restart; "1s"
---@field factor number?           2
---@field max number|string?       "90s"
---@field jitter number?           a share of the delay, 0.1
---@field attempts integer?        restarts in a row before it gives up; 0: no end
---@field stable number|string?    who ran that long begins anew; "5s"

---@class rt.ChildSpec
---@field id string
---@field start string|function|any[]?  a source or function, or a list of it and its arguments
---@field supervisor rt.SupervisorSpec?  instead of `start`: a supervisor below this one
---@field restart "permanent"|"transient"|"temporary"|nil
---@field shutdown number|string?        grace between CANCEL and its end; "10s"
---@field ready boolean|number|string?   it says supervisor.ready(), within "10s" or this time
---@field backoff rt.Backoff?

---@class rt.SupervisorSpec
---@field name string?      registered
---@field strategy "one_for_one"|"one_for_all"|"rest_for_one"|nil
---@field children rt.ChildSpec[]?
---@field backoff rt.Backoff?
---@field intensity { restarts: integer, period: number|string }?
---@field start number|string?     for children with `ready = true`; "10s"
---@field shutdown number|string?  for children that do not say; "10s"
---@field terminal string[]?       kinds of errors that are not retried
---@field link boolean?            true

---@class rt.ChildInfo
---@field id string
---@field pid string?
---@field state "starting"|"running"|"waiting"|"stopped"|"failed"
---@field type "worker"|"supervisor"
---@field restart "permanent"|"transient"|"temporary"
---@field restarts integer
---@field reason string?  why it ended last
---@field delay number?   seconds until its restart

---@class rt.Supervisor
local Supervisor = {}

---@return string
function Supervisor:pid() end

---@return rt.ChildInfo[]?, rt.Error?
function Supervisor:which_children() end

---@return { children: integer, running: integer, workers: integer, supervisors: integer }?, rt.Error?
function Supervisor:count() end

---@param spec rt.ChildSpec
---@return string? pid, rt.Error?
function Supervisor:start_child(spec) end

---@param id string
---@return true?, rt.Error?
function Supervisor:terminate_child(id) end

---@param id string
---@return string? pid, rt.Error?
function Supervisor:restart_child(id) end

---@param id string
---@return true?, rt.Error?
function Supervisor:delete_child(id) end

---@param reason string?
---@return true?, rt.Error?
function Supervisor:stop(reason) end

---@return true?, rt.Error?
function Supervisor:wait() end

---@class rt.supervisor
local supervisor = {}

---@return { backoff: rt.Backoff, start: number, shutdown: number, terminal: string[] }
function supervisor.defaults() end

---@param spec rt.SupervisorSpec
---@return rt.Supervisor?, rt.Error?
function supervisor.start(spec) end

---@param dest string  PID or name
---@return rt.Supervisor?, rt.Error?
function supervisor.at(dest) end

---@return string?  the PID of who started this process as a child
function supervisor.parent() end

---@return true?, rt.Error?
function supervisor.ready() end

return supervisor
