--- rt.sandbox - the globals of scripts: what they get, and what they cannot reach.
-- One frozen set of library tables per VM; each process has its own table of globals, which finds
-- the set behind it. A frozen table is an empty proxy in front of the real one: assignments to it
-- raise, and the functions that go around metatables (rawset, next, table.insert...) know about it.
-- With --unsafe scripts get the real tables and everything else Lua has.
-- SPDX-License-Identifier: MIT
local core = require("rt.core.task")
local core_process = require("rt.core.process")
local callbacks = require("rt.callbacks")
local coroutines = require("rt.coroutines")
local task = require("rt.task")

local error, type, tostring, select, pairs = error, type, callbacks.tostring, select, pairs
local next, rawget, rawset = next, rawget, rawset
local setmetatable, getmetatable = setmetatable, getmetatable
local getfenv, setfenv, load = getfenv, setfenv, load
local compile = core.compile
local collectgarbage = collectgarbage
local raw_meta, set_meta = debug.getmetatable, debug.setmetatable
local getinfo, traceback = debug.getinfo, debug.traceback
local concat = table.concat

local M = {}
local settings = core.settings()
local LIBRARY = _G

-- --- frozen tables -------------------------------------------------------------------------------

-- proxy -> the real table
local real_of = setmetatable({}, { __mode = "k" })
local proxy_of = setmetatable({}, { __mode = "k" })

--- A table that reads like `real` and cannot be changed; tables inside it likewise.
---@param real table
---@param name string  for the error message
function M.freeze(real, name)
  if settings.unsafe or real_of[real] then return real end
  local proxy = proxy_of[real]
  if proxy then return proxy end
  proxy = {}
  proxy_of[real], real_of[proxy] = proxy, real
  for key, value in pairs(real) do
    if type(value) == "table" and not getmetatable(value) and value ~= real then
      real[key] = M.freeze(value, name .. "." .. tostring(key))
    end
  end
  local meta = getmetatable(real)
  return setmetatable(proxy, {
    __index = real,
    __newindex = function(_, key)
      error("the library '" .. name .. "' is frozen: cannot set '" .. tostring(key) .. "'", 2)
    end,
    __call = meta and meta.__call and function(_, ...)
      return real(...)
    end or nil,
    __metatable = false,
  })
end

-- Likewise an object without fields that all processes share: it is its own proxy.
local function seal(object, name)
  real_of[object] = object
  debug.getmetatable(object).__newindex = function(_, key)
    error("'" .. name .. "' is frozen: cannot set '" .. tostring(key) .. "'", 2)
  end
end

local function refuse_frozen(t, fname)
  if real_of[t] then error("bad argument #1 to '" .. fname .. "' (the library is frozen)", 3) end
end

-- --- replaced functions --------------------------------------------------------------------------

local safe = {}

function safe.next(t, key)
  return next(real_of[t] or t, key)
end

local function frozen_next(proxy, key)
  return next(real_of[proxy], key)
end

function safe.pairs(t)
  if real_of[t] then return frozen_next, t, nil end
  return pairs(t)
end

function safe.rawget(t, key)
  return rawget(real_of[t] or t, key)
end

function safe.rawset(t, key, value)
  refuse_frozen(t, "rawset")
  return rawset(t, key, value)
end

-- The globals find the library through their metatable. A script may still give them one of its
-- own: it comes behind the library. What the globals are is told by their metatable, not by
-- getfenv(0), which a script may set to a table of the library.
local globals_meta = { __metatable = false }
local given_behind = setmetatable({ [globals_meta] = true }, { __mode = "k" })

local function behind_library(meta)
  local base = M.base
  local outer = { __metatable = meta, __newindex = meta.__newindex, __call = meta.__call }
  function outer.__index(t, key)
    local value = base[key]
    if value ~= nil then return value end
    local index = meta.__index
    if type(index) == "function" then return index(t, key) end
    return index and index[key]
  end
  given_behind[outer] = true
  return outer
end

function safe.setmetatable(t, meta)
  if type(t) == "table" and given_behind[raw_meta(t) or false] then
    if type(meta) ~= "table" then error("the metatable of the globals cannot be removed", 2) end
    set_meta(t, behind_library(meta))
    return t
  end
  return setmetatable(t, meta)
end

local function is_library(fn)
  return getfenv(fn) == LIBRARY
end

function safe.getfenv(f)
  if f == nil then f = 1 end
  if type(f) == "number" then
    if f == 0 then return getfenv(0) end
    f = f + 1
    if not (f >= 2 and getinfo(f, "f")) then
      error("bad argument #1 to 'getfenv' (invalid level)", 2)
    end
  elseif type(f) ~= "function" then
    error("bad argument #1 to 'getfenv' (number expected, got " .. type(f) .. ")", 2)
  end
  local env = getfenv(f)
  if env == LIBRARY then return getfenv(0) end
  return env
end

function safe.setfenv(f, env)
  if type(env) ~= "table" then
    error("bad argument #2 to 'setfenv' (table expected, got " .. type(env) .. ")", 2)
  end
  if type(f) == "number" then
    if f == 0 then return setfenv(0, env) end
    f = f + 1
    local info = f >= 2 and getinfo(f, "f")
    if not info then error("bad argument #1 to 'setfenv' (invalid level)", 2) end
    f = info.func
  end
  if type(f) == "function" and is_library(f) then
    error("'setfenv' cannot change environment of given object", 2)
  end
  return setfenv(f, env)
end

-- load(), which may be ended in the middle of a long text.
local function load_text(text, name, mode, env)
  if type(text) ~= "string" then return load(text, name, mode, env) end
  return compile(text, name or text, mode, env)
end

--- Code for scripts is text; what they load sees their globals.
function safe.load(chunk, name, _, env)
  if type(chunk) == "function" then
    local parts = {}
    repeat
      local part = chunk()
      if part ~= nil and type(part) ~= "string" then
        return nil, "reader function must return a string"
      end
      parts[#parts + 1] = part
    until part == nil or part == ""
    chunk = concat(parts)
    name = name or "=(load)"
  end
  if env == nil then env = getfenv(0) end
  return load_text(chunk, name, "t", env)
end

function safe.loadstring(text, name)
  if type(text) ~= "string" then
    error("bad argument #1 to 'loadstring' (string expected, got " .. type(text) .. ")", 2)
  end
  return compile(text, name or text, "t", getfenv(0))
end

function safe.collectgarbage(what, n)
  if what == "count" then return collectgarbage("count") end
  if what == nil or what == "collect" or what == "step" then
    collectgarbage("step", type(n) == "number" and n or 0)
    return 0
  end
  error("bad argument #1 to 'collectgarbage' ('count' or 'step' expected)", 2)
end

safe.tostring = callbacks.tostring

local function words(...)
  local list = { ... }
  for i = 1, select("#", ...) do
    local text = tostring(list[i])
    if type(text) ~= "string" then error("'tostring' must return a string to 'print'", 3) end
    list[i] = text
  end
  return concat(list, "\t")
end

function safe.print(...)
  core.output(1, words(...) .. "\n")
end

-- --- libraries -----------------------------------------------------------------------------------

local function copy(t)
  local made = {}
  for key, value in pairs(t) do
    made[key] = value
  end
  return made
end

local function safe_table()
  local made = copy(table)
  made.sort = callbacks.sort
  made.concat = callbacks.concat
  for _, name in ipairs({ "insert", "remove", "sort" }) do
    local raw = made[name]
    made[name] = function(t, ...)
      if real_of[t] then
        error("bad argument #1 to '" .. name .. "' (the library is frozen)", 2)
      end
      return raw(t, ...)
    end
  end
  return made
end

local function safe_getinfo(first, what, ...)
  if type(first) == "thread" then return safe_getinfo(what, ...) end
  if type(first) == "number" then first = first + 1 end
  local info = getinfo(first, what)
  if info and info.func and type(first) == "number" and is_library(info.func) then
    info.func = nil
  end
  return info
end

local function module_if(name)
  if core.embedded(name) then return require(name) end
  return nil
end

local function safe_io()
  local made = module_if("rt.io") or {}
  for _, name in ipairs({ "stdin", "stdout", "stderr" }) do
    if made[name] then seal(made[name], "io." .. name) end
  end
  return made
end

local function safe_os()
  local given = module_if("rt.os") or {}
  local made = {
    clock = os.clock,
    date = os.date,
    difftime = os.difftime,
    time = os.time,
  }
  for key, value in pairs(given) do
    made[key] = value
  end
  function made.exit(code)
    if code == nil or code == true then code = 0 end
    if code == false then code = 1 end
    local parent = task.state().supervisor
    if parent then core_process.note(parent, "@supervisor", core_process.pid(), 0, "exit", code) end
    task.exit(code)
  end
  return made
end

local coroutine_names = {
  "create", "isyieldable", "resume", "running", "spawn", "status", "wrap", "yield",
}

local function coroutine_library()
  local made = {}
  for _, name in ipairs(coroutine_names) do
    made[name] = coroutines[name]
  end
  return made
end

local plain = {
  "_VERSION", "assert", "error", "getmetatable", "ipairs", "pcall", "rawequal", "rawlen", "select",
  "tonumber", "type", "unpack", "xpcall",
}

local libraries = {
  bit = function() return copy(bit) end,
  coroutine = coroutine_library,
  debug = function() return { traceback = traceback, getinfo = safe_getinfo } end,
  io = safe_io,
  math = function() return copy(math) end,
  os = safe_os,
  string = function() return string end,
  table = safe_table,
}

local function safe_base()
  local base = {}
  for _, name in ipairs(plain) do
    base[name] = LIBRARY[name]
  end
  for name, fn in pairs(safe) do
    base[name] = fn
  end
  for name, make in pairs(libraries) do
    base[name] = M.freeze(make(), name)
  end
  return base
end

local function unsafe_base()
  local base = copy(LIBRARY)
  for name in pairs(libraries) do
    base[name] = copy(LIBRARY[name] or {})
  end
  for key, value in pairs(coroutine_library()) do
    base.coroutine[key] = value
  end
  for key, value in pairs(safe_os()) do
    base.os[key] = value
  end
  for key, value in pairs(module_if("rt.io") or {}) do
    base.io[key] = value
  end
  base.string = string
  base.print = safe.print
  base.load, base.loadstring = load_text, load_text
  return base
end

--- The globals all processes of this VM share, to be filled by rt.source as well.
M.base = settings.unsafe and unsafe_base() or safe_base()
M.base._G = nil

--- Put what is made after this module into the base.
function M.complete(extra)
  for name, value in pairs(extra) do
    M.base[name] = type(value) == "table" and M.freeze(value, name) or value
  end
end

globals_meta.__index = M.base

--- Fresh globals for a process.
function M.globals()
  local globals = setmetatable({ _G = false }, globals_meta) -- with room for it
  globals._G = globals
  return globals
end

rawset(string, "gsub", callbacks.gsub)
rawset(string, "gmatch", callbacks.gmatch)
math.randomseed(settings.seed) -- else every VM would begin alike
if not settings.unsafe then getmetatable("").__metatable = false end

return M
