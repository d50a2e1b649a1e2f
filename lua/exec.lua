--- exec - run programs. No shell is involved: give `sh` with {"-c", text} for one.
-- A program runs in a process group of its own, which is killed when the wait for it is cut short:
-- by the timeout, by the end of the Lua process, or by too much output.
-- SPDX-License-Identifier: MIT
local check = require("rt.check")
local core = require("rt.core.exec")
local duration = require("rt.duration")
local errors = require("rt.errors")
local task = require("rt.task")

local M = {}

-- Bytes kept of each output unless told otherwise.
local OUTPUT_MAX = 64 * 1024 * 1024

local function refuse(what)
  return errors.make("exec: " .. what, "INVALID")
end

local function has_zero(text)
  return text:find("\0", 1, true) ~= nil
end

-- The list for the program: its name, then the arguments. Levels count up to run's caller.
local function arguments(file, args)
  local argv = { file }
  for i = 1, args and #args or 0 do
    local arg = args[i]
    if type(arg) ~= "string" and type(arg) ~= "number" then
      check.fail(2, "run", "string expected at [" .. i .. "], got " .. type(arg), 2)
    end
    arg = tostring(arg)
    if has_zero(arg) then return nil, refuse("argument with a zero byte") end
    argv[i + 1] = arg
  end
  return argv
end

-- Our environment with the changes in `env`, as a list in byte order.
local function environment(env, clear)
  if not env and not clear then return nil end
  local values = {}
  for _, entry in ipairs(clear and {} or core.environ()) do
    local name, value = entry:match("^([^=]+)=(.*)$")
    if name then values[name] = value end
  end
  for name, value in pairs(env or {}) do
    if type(name) ~= "string" then check.fail("env", "run", "names expected as keys", 2) end
    if type(value) ~= "string" and type(value) ~= "number" and value ~= false then
      check.fail("env", "run", "string or false expected for " .. name, 2)
    end
    if name == "" or name:find("[=%z]") or (value and has_zero(tostring(value))) then
      return nil, refuse("no name or value for the environment: '" .. name .. "'")
    end
    values[name] = value and tostring(value) or nil
  end
  local list = {}
  for name, value in pairs(values) do
    list[#list + 1] = name .. "=" .. value
  end
  table.sort(list)
  return list
end

---@class rt.ExecOptions
---@field stdin string?        given to it as standard input; else that is empty
---@field timeout number|string?
---@field cwd string?          the folder it runs in
---@field env table?           changes of the environment: value by name, false removes
---@field clear_env boolean?   begin with an empty environment
---@field max_output integer?  bytes kept of stdout and of stderr each (default 64 MiB); with more
---                            it is killed and the answer is nil, UNAVAILABLE

--- Run a program and wait until it has ended and its output is closed.
---@param file string     a name to be looked up in PATH, or a path with a "/"
---@param args string[]?
---@param opts rt.ExecOptions?
---@return {code: integer, signal: integer?, stdout: string, stderr: string}? result, rt.Error? err
--- `code` is the exit code, or 128 + signal when a signal ended it. NOT_FOUND: no such program;
--- PERMISSION_DENIED: no program; TIMEOUT
function M.run(file, args, opts)
  check.string(file, 1, "run")
  check.optional_table(args, 2, "run")
  opts = check.optional_table(opts, 3, "run") or {}
  local input = check.optional_string(opts.stdin, "stdin", "run")
  local cwd = check.optional_string(opts.cwd, "cwd", "run")
  local timeout = duration.optional(opts.timeout, "timeout", "run")
  local max = check.optional_integer(opts.max_output, "max_output", "run") or OUTPUT_MAX
  check.optional_table(opts.env, "env", "run")
  local argv, env, err
  argv, err = arguments(file, args)
  if not argv then return nil, err end
  env, err = environment(opts.env, opts.clear_env)
  if err then return nil, err end
  if file == "" then return nil, refuse("empty program name") end
  if has_zero(file) or (cwd and has_zero(cwd)) then return nil, refuse("path with a zero byte") end
  local code, signal, out, fault =
    task.await(core.run(file, argv, env, cwd, input, max, 0), timeout)
  if code == nil then
    if signal:kind() == "TIMEOUT" then
      local text = ("exec: '%s' timed out after %g s, and was ended"):format(file, timeout or 0)
      return nil, errors.make(text, "TIMEOUT", true)
    end
    return nil, signal
  end
  return { code = code, signal = signal ~= 0 and signal or nil, stdout = out, stderr = fault }
end

return M
