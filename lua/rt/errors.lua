--- rt.errors - error objects, and what the library and C need to make them.
-- An error object is a table with methods kind, message, retryable, details and stack. Its fields
-- begin with an underscore and belong to this file. Public face: the module `errors`.
--
--   make(message, kind?, retryable?, details?, stack?)   no checks, no traceback: for the library
--   from_map(map)   from {message=, kind=, retryable=, details=, stack=}, as it crosses a border
--   to_map(value)   such a table of plain values from an error object or anything else raised
--   of(value)       the error object of anything raised: itself, or one of kind UNKNOWN
-- The last line hands the constructors to C (runtime/bind/lua_error.c).
-- SPDX-License-Identifier: MIT
local check = require("rt.check")
local core = require("rt.core.errors")

local type, tostring, setmetatable, rawget = type, tostring, setmetatable, rawget
local getmetatable = debug.getmetatable
local traceback = debug.traceback

local M = {}

M.kinds = {
  "NOT_FOUND",
  "ALREADY_EXISTS",
  "INVALID",
  "PERMISSION_DENIED",
  "UNAVAILABLE",
  "INTERNAL",
  "CANCELED",
  "CONFLICT",
  "TIMEOUT",
  "RATE_LIMITED",
  "UNKNOWN",
}

---@class rt.Error
local methods = {}

---@return string  one of the kinds
function methods:kind()
  return self._kind
end

---@return string
function methods:message()
  return self._message
end

---@return boolean  may the same call succeed later?
function methods:retryable()
  return self._retryable
end

---@return any  what was given as details
function methods:details()
  return self._details
end

---@return string  where it was made, or "" when that was not noted
function methods:stack()
  return self._stack
end

local meta = {
  __index = methods,
  __metatable = false,
  __tostring = function(self)
    return self._message
  end,
  __concat = function(left, right)
    return tostring(left) .. tostring(right)
  end,
}

---@return rt.Error
function M.make(message, kind, retryable, details, stack)
  return setmetatable({
    _message = message,
    _kind = kind or "UNKNOWN",
    _retryable = retryable == true,
    _details = details,
    _stack = stack or "",
  }, meta)
end

function M.is_error(value)
  return type(value) == "table" and getmetatable(value) == meta
end

local function text_or(value, fallback)
  if type(value) == "string" and value ~= "" then return value end
  return fallback
end

function M.from_map(map)
  local message = rawget(map, "message")
  local err = M.make(
    type(message) == "string" and message or "unknown error",
    text_or(rawget(map, "kind"), "UNKNOWN"),
    rawget(map, "retryable"),
    rawget(map, "details"),
    text_or(rawget(map, "stack"))
  )
  err._far = true -- its traceback is that of another process
  return err
end

local CHAIN_MAX = 16384

--- The traceback of an error raised again: where it came from first, then `stack`, where it ended
-- the process that had awaited it.
function M.chain(err, stack)
  local inner = M.is_error(err) and rawget(err, "_far") and text_or(rawget(err, "_stack"))
  if not inner or not stack then return stack end
  if #inner > CHAIN_MAX then inner = inner:sub(1, CHAIN_MAX) .. "\n\t..." end
  return inner .. "\nawaited in " .. stack
end

-- What a table that was raised has in it: a few of its plain fields.
local function fields_of(value)
  local names, parts = {}, {}
  for key, item in next, value do
    local plain = type(item) == "string" or type(item) == "number" or type(item) == "boolean"
    if type(key) == "string" and plain then names[#names + 1] = key end
  end
  table.sort(names)
  for i = 1, math.min(#names, 5) do
    local text = tostring(rawget(value, names[i]))
    parts[i] = names[i] .. " = " .. (#text > 60 and text:sub(1, 60) .. "..." or text)
  end
  return #parts > 0 and ": " .. table.concat(parts, ", ") or ""
end

-- Text of anything that runs no code of a script: C may ask where nothing would end that code.
local function raw_words(value)
  local kind = type(value)
  if kind == "string" then return value end
  if kind == "table" then return "(error object is a table value" .. fields_of(value) .. ")" end
  if kind == "userdata" or kind == "function" or kind == "thread" then
    return "(error object is a " .. kind .. " value)"
  end
  return tostring(value)
end

-- Text of anything, also of what has a failing __tostring.
local function words(value)
  local own = type(value) == "table" and getmetatable(value)
  if type(value) == "table" and not (own and rawget(own, "__tostring")) then
    return raw_words(value)
  end
  if type(value) == "function" or type(value) == "thread" then return raw_words(value) end
  local ok, text = pcall(tostring, value)
  if ok and type(text) == "string" then return text end
  return raw_words(value)
end

--- Can it be put into words without calling metamethods of a script?
function M.is_plain(value)
  if M.is_error(value) then return type(value._message) == "string" end
  local own = getmetatable(value)
  return type(value) ~= "table" or own == nil or rawget(own, "__tostring") == nil
end

local function of(value, say)
  if M.is_error(value) then return value end
  if type(value) == "table" and type(rawget(value, "message")) == "string" then
    return M.from_map(value)
  end
  return M.make(say(value))
end

local function map_of(value, say)
  local err = of(value, say)
  return {
    message = say(rawget(err, "_message")),
    kind = text_or(rawget(err, "_kind"), "UNKNOWN"),
    retryable = rawget(err, "_retryable") == true,
    details = rawget(err, "_details"),
    stack = text_or(rawget(err, "_stack")),
  }
end

function M.of(value)
  return of(value, words)
end

function M.to_map(value)
  return map_of(value, words)
end

-- What C calls instead.
local function raw_map(value)
  return map_of(value, raw_words)
end

local function new(spec)
  if type(spec) == "string" then return M.make(spec, nil, nil, nil, traceback("", 2):sub(2)) end
  if type(spec) ~= "table" then
    check.fail(1, "new", "string or table expected, got " .. type(spec))
  end
  check.optional_string(spec.message, "message", "new")
  check.optional_string(spec.kind, "kind", "new")
  check.optional_boolean(spec.retryable, "retryable", "new")
  local kind = text_or(spec.kind, "UNKNOWN")
  local message = spec.message or kind
  return M.make(message, kind, spec.retryable, spec.details, traceback("", 2):sub(2))
end
M.new = new

function M.wrap(err, message)
  check.string(message, 2, "wrap")
  if err == nil then return nil end
  local inner = M.of(err)
  local stack = inner._stack ~= "" and inner._stack or traceback("", 2):sub(2)
  local outer = M.make(
    message .. ": " .. inner._message,
    inner._kind,
    inner._retryable,
    inner._details,
    stack
  )
  outer._far = inner._far
  return outer
end

--- errors.is, see there.
function M.is(err, kind)
  check.string(kind, 2, "is")
  if type(err) ~= "table" then return false end
  if getmetatable(err) == meta then return err._kind == kind end
  return rawget(err, "kind") == kind
end

core.register(M.make, M.from_map, raw_map, meta)

return M
