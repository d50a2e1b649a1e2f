--- rt.test.world - what a capability finds around it while it is tested.
-- Its own clock, channels and coroutines; modules that answer from the fakes of the case; and a
-- record of every call. What would reach the real world without a fake is refused, and fails the
-- case whatever the capability makes of the error.
-- SPDX-License-Identifier: MIT
local clock = require("rt.test.clock")
local coroutines = require("rt.coroutines")
local duration = require("rt.duration")
local errors = require("rt.errors")
local sandbox = require("rt.sandbox")
local source = require("rt.source")

local M = {}

---@class rt.TestWorld
local world = {}
world.__index = world

-- Modules that do nothing but compute: the real ones.
local PURE = {
  json = true,
  errors = true,
  crypto = true,
  bit = true,
  string = true,
  table = true,
  math = true,
  ["table.new"] = true,
  ["table.clear"] = true,
}

-- fresh copies ----------------------------------------------------------------------------------

local function loader_of(name)
  for _, find in ipairs(package.loaders) do
    local loader = find(name)
    if type(loader) == "function" then return loader end
  end
  error("no module " .. name)
end

--- Another instance of a library module that gets `others` instead of what it requires.
local function instance(name, others)
  local chunk = loader_of(name)
  local env = setmetatable({}, { __index = _G })
  function env.require(wanted)
    return others[wanted] or require(wanted)
  end
  return setfenv(chunk, env)(name)
end

-- calls and fakes -------------------------------------------------------------------------------

--- Note a call for `calls`.
function world:note(what)
  self.calls[#self.calls + 1] = what
end

--- A mistake of the test, not of the capability: it fails the case and raises.
function world:fault(fmt, ...)
  local text = fmt:format(...)
  self.faults[#self.faults + 1] = text
  error(errors.make(text, "INTERNAL"), 0)
end

local function missing(self, module, keys)
  self:fault('no fake for %s: add fakes.%s["%s"]', module, module, keys[1])
end

-- A list of answers is given one by one, the last one for ever.
local function in_turn(self, module, key, list)
  local id = module .. "\0" .. key
  local n = (self.turns[id] or 0) + 1
  self.turns[id] = n
  return list[math.min(n, #list)]
end

--- What the case says about the first of `keys` it knows, else about "*".
---@param module string
---@param keys string[]
---@return any
function world:fake(module, keys)
  local fakes = self.fakes[module]
  if type(fakes) == "function" then return fakes end
  if fakes == nil then missing(self, module, keys) end
  for i = 1, #keys + 1 do
    local key = keys[i] or "*"
    local value = fakes[key]
    if type(value) == "table" and value.turns then
      value = in_turn(self, module, key, value.turns)
    end
    if value ~= nil then return value end
  end
  return missing(self, module, keys)
end

local SHORT = {
  refused = { "UNAVAILABLE", "connection refused" },
  reset = { "UNAVAILABLE", "connection reset by peer", true },
  unreachable = { "UNAVAILABLE", "network is unreachable" },
  timeout = { "TIMEOUT", "timed out", true },
}
for _, kind in ipairs(errors.kinds) do
  SHORT[kind] = SHORT[kind] or { kind, kind:lower():gsub("_", " "), kind == "TIMEOUT" }
end

local function error_of(spec, where)
  if type(spec) == "table" then
    local short = SHORT[spec.error] or { "UNKNOWN", tostring(spec.error) }
    local retryable = spec.retryable
    if retryable == nil then retryable = short[3] end
    return errors.make(where .. ": " .. (spec.message or short[2]), short[1], retryable)
  end
  local short = SHORT[spec]
  return short and errors.make(where .. ": " .. short[2], short[1], short[3])
end

--- The error that a fake stands for, or nil; what it takes has passed by then, which is no more
--- than `timeout`: a fake that would answer later is a time-out.
function world:failure(spec, where, timeout)
  local given = type(spec) == "table" and spec.error ~= nil
  local err = (given or type(spec) == "string") and error_of(spec, where) or nil
  local delay = type(spec) == "table" and spec.delay and duration.seconds(spec.delay, 1, "delay")
  local late = timeout and delay and delay > timeout
  if late or (timeout and err and err:kind() == "TIMEOUT") then
    self.task.park(timeout)
    return err and err:kind() == "TIMEOUT" and err or error_of("timeout", where)
  end
  if delay then self.time.sleep(delay) end
  return err
end

--- The time a fake takes.
function world:delay(spec)
  local delay = spec.delay
  if delay then self.time.sleep(delay) end
end

-- globals and require ---------------------------------------------------------------------------

local function unavailable(name, hint)
  return setmetatable({}, {
    __index = function(_, key)
      return function()
        local text = ("%s.%s is not there in a capability test"):format(name, tostring(key))
        error(errors.make(hint and text .. "; " .. hint or text, "UNAVAILABLE"), 2)
      end
    end,
  })
end

local function copy_of(base)
  return setmetatable({}, { __index = base })
end

local COROUTINE = { "create", "isyieldable", "resume", "running", "status", "wrap", "yield" }

local function coroutine_library(self)
  local library = {}
  for _, name in ipairs(COROUTINE) do
    library[name] = coroutines[name]
  end
  function library.spawn(fn, ...)
    if type(fn) ~= "function" then
      error("bad argument #1 to 'spawn' (function expected, got " .. type(fn) .. ")", 2)
    end
    self.task.spawn(fn, ...)
  end
  return library
end

local function os_library(self)
  local os = copy_of(sandbox.base.os)
  local outside = unavailable("os")
  for _, name in ipairs({ "execute", "remove", "rename", "tmpname", "exit" }) do
    os[name] = outside[name]
  end
  function os.time(t)
    return t and sandbox.base.os.time(t) or math.floor(self.time.now())
  end
  function os.clock()
    return self.time.monotonic()
  end
  return os
end

local function load_user_module(self, name)
  local text, where = source.search(name, self.path)
  if not text then error("module '" .. name .. "' not found:" .. where, 3) end
  local chunk, err = source.load(text, "@" .. where, self.globals)
  if not chunk then error(err, 3) end
  local value = chunk(name)
  if value == nil then value = true end
  self.loaded[name] = value
  return value
end

local function require_in(self)
  return function(name)
    if type(name) ~= "string" then
      error("bad argument #1 to 'require' (string expected, got " .. type(name) .. ")", 2)
    end
    local value = self.modules[name] or self.loaded[name]
    if value ~= nil then return value end
    if PURE[name] then return source.public()[name] or sandbox.base[name] or require(name) end
    if source.public()[name] then return unavailable(name) end
    return load_user_module(self, name)
  end
end

local function globals_of(self)
  local globals = sandbox.globals()
  globals.channel = self.channel
  globals.coroutine = coroutine_library(self)
  globals.os = os_library(self)
  globals.io = unavailable("io", "use fs and fakes.fs")
  globals.process = setmetatable({
    pid = function()
      return "test"
    end,
  }, { __index = unavailable("process") })
  globals.require = require_in(self)
  globals.print = function(...)
    local words = {}
    for i = 1, select("#", ...) do
      words[i] = tostring((select(i, ...)))
    end
    self.printed[#self.printed + 1] = table.concat(words, "\t")
  end
  return globals
end

-- log and events --------------------------------------------------------------------------------

local function log_module(self)
  local log = {}
  for _, level in ipairs({ "debug", "info", "warn", "error" }) do
    log[level] = function(message, fields)
      self.logs[#self.logs + 1] = { level = level, message = tostring(message), fields = fields }
      return true
    end
  end
  return log
end

local function events_module(self)
  return setmetatable({
    send = function(system, kind, path, data)
      self.events[#self.events + 1] = { system = system, kind = kind, path = path, data = data }
      return true
    end,
  }, { __index = unavailable("events") })
end

--- Everything around one case.
---@param fakes table  module -> its fakes
---@param path string  package.path for the capability's own modules
---@param limit number?  real seconds that the case may compute
---@return rt.TestWorld
function M.new(fakes, path, limit)
  local self = setmetatable({ fakes = fakes, path = path, turns = {} }, world)
  for _, list in ipairs({ "calls", "faults", "logs", "events", "printed", "loaded", "sent" }) do
    self[list] = {}
  end
  self.clock = clock.new(fakes.time and fakes.time.now, limit)
  self.task = self.clock.task
  local others = { ["rt.task"] = self.task, ["rt.core.time"] = self.clock.time }
  self.channel = instance("rt.channel", others)
  others["rt.channel"] = self.channel
  self.time = instance("time", others)
  self.modules = {
    time = self.time,
    channel = self.channel,
    log = log_module(self),
    events = events_module(self),
  }
  for _, name in ipairs({ "net", "dns", "http", "exec", "fs" }) do
    require("rt.test." .. name).install(self)
  end
  self.globals = globals_of(self)
  return self
end

return M
