---@meta exec
-- What editors know of running programs: local exec = require("exec"). SPDX-License-Identifier: MIT

---@class rt.ExecOptions
---@field stdin string?         given to it as standard input
---@field timeout rt.Duration?
---@field cwd string?           the folder it runs in
---@field env table<string, string|number|false>?  changes of the environment; false removes
---@field clear_env boolean?    begin with an empty environment
---@field max_output integer?   bytes kept of stdout and of stderr each (64 MiB)

---@class rt.ExecResult
---@field code integer     the exit code, or 128 + signal
---@field signal integer?
---@field stdout string
---@field stderr string

---@class rt.exec
local exec = {}

--- Run a program (no shell) and wait until it has ended.
---@param file string     a name to be looked up in PATH, or a path with a "/"
---@param args string[]?
---@param opts rt.ExecOptions?
---@return rt.ExecResult? result, rt.Error? err  NOT_FOUND, PERMISSION_DENIED, TIMEOUT
function exec.run(file, args, opts) end

return exec
