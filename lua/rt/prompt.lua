--- rt.prompt - runs chunks as they come, each in a fiber of its own (process/prompt.c).
-- Globals last from one chunk to the next, local variables end with theirs. An expression prints
-- its values and leaves the first in `_`; the library's modules are globals.
-- SPDX-License-Identifier: MIT
local channel = require("rt.channel").internal
local core = require("rt.core.prompt")
local core_task = require("rt.core.task")
local coroutines = require("rt.coroutines")
local pretty = require("rt.pretty")
local sandbox = require("rt.sandbox")
local source = require("rt.source")
local task = require("rt.task")

local load, xpcall, type, select = load, xpcall, type, select
local getmetatable, running = debug.getmetatable, coroutine.running
local tostring = sandbox.base.tostring
local concat, sort = table.concat, table.sort

local NAME = "=prompt"

-- --- running -------------------------------------------------------------------------------------

local function is_cut_short(err)
  return err:find("near '?<eof>'?$") ~= nil
end

-- The values of an expression go to the function it is called with: as its arguments, since what is
-- called last in a `return` would leave no level of the chunk for an error's place.
local function expression(text, env)
  local ok, why = load("return " .. text, NAME, "t", env)
  if not ok then return nil, why end
  return load("return (...)(" .. text .. "\n)", NAME, "t", env)
end

local function compile(text, env)
  local asked = text:match("^%s*=(.*)$")
  if asked then return expression(asked, env) end
  local given = text:match("^%s*return(%s.*)$") -- a habit from other prompts
  if given then
    local fn = expression(given, env)
    if fn then return fn end
  end
  local fn, why = expression(text, env)
  if fn then return fn end
  local statement, err = load(text, NAME, "t", env)
  if statement then return statement end
  return nil, is_cut_short(why) and why or err
end

local function show(width, ...)
  local count = select("#", ...)
  if count == 0 then return end
  local parts, lines = {}, false
  for i = 1, count do
    parts[i] = pretty.text((select(i, ...)), width)
    lines = lines or parts[i]:find("\n", 1, true) ~= nil
  end
  rawset(core_task.globals(), "_", (...))
  core_task.output(1, concat(parts, lines and "\n" or "\t") .. "\n")
end

-- A stack without our own levels: those below the chunk, and of this file.
local function trim(stack)
  local head, tail = stack:match("^(.*\n[^\n]*prompt:%d+: in )function 'chunk'(.*)$")
  if head then stack = head .. "main chunk" .. (tail:match("\nresumed from .*$") or "") end
  stack = stack:gsub("\n[^\n]*rt/coroutines.lua:%d+: in function 'trace'", "")
  return (stack:gsub("\n[^\n]*rt/prompt[^\n]*", ""))
end

local function describe(err)
  local stack = trim(coroutines.trace(err, running()))
  local text = type(err) == "table" and pretty.text(err, 80) or tostring(err)
  return text .. "\n" .. stack
end

local function run(id, chunk, width)
  local ok, err = xpcall(function()
    chunk(function(...)
      show(width, ...)
    end)
  end, describe)
  if not ok then core_task.output(2, tostring(err) .. "\n") end
  core.answer(id, ok and "done" or "failed")
end

local requests = {}

function requests.run(id, text, width)
  local fn, err = compile(text, core_task.globals())
  if fn then
    core.running(task.spawn(run, id, fn, width))
  elseif is_cut_short(err) then
    core.answer(id, "more", err)
  else
    core_task.output(2, err .. "\n")
    core.answer(id, "failed")
  end
end

-- --- completion ----------------------------------------------------------------------------------

-- Only what can be read without running anything: fields, and those of __index tables.
local function each_field(value, fn)
  for _ = 1, 8 do
    if type(value) ~= "table" then return end
    for key in sandbox.base.next, value do
      if type(key) == "string" then fn(key, sandbox.base.rawget(value, key)) end
    end
    local meta = getmetatable(value)
    value = type(meta) == "table" and rawget(meta, "__index") or nil
  end
end

local function field(value, name)
  local found
  if type(value) == "string" then value = string end
  each_field(value, function(key, item)
    if key == name and found == nil then found = item end
  end)
  return found
end

-- What stands before the last word: "a.b:" -> the value of a.b, or nil.
local function holder(path, globals)
  local value = globals
  for name in path:gmatch("[%a_][%w_]*") do
    value = field(value, name)
    if value == nil then return nil end
  end
  return value
end

local function candidates(text)
  local word = text:match("[%w_.:]*$")
  local path, last = word:match("^(.*[.:])([%w_]*)$")
  local globals = core_task.globals()
  local names, found = {}, {}
  local methods = path ~= nil and path:sub(-1) == ":"
  local value = globals
  if path then value = holder(path, globals) end
  last = last or word
  if type(value) == "string" then value = string end
  local function add(key, item)
    if key:sub(1, #last) ~= last or not key:find("^[%a_][%w_]*$") or found[key] then return end
    if methods and type(item) ~= "function" then return end
    if last == "" and key:sub(1, 1) == "_" then return end
    found[key] = true
    names[#names + 1] = key
  end
  if path or last ~= "" then each_field(value, add) end
  if not path and last ~= "" then
    for key in pairs(pretty.keywords) do
      add(key)
    end
  end
  sort(names)
  return names
end

function requests.complete(id, text)
  core.answer(id, "done", concat(candidates(text), "\n"))
end

-- --- the process ---------------------------------------------------------------------------------

local function prepare()
  local state, globals = task.state(), core_task.globals()
  if state.prompt then return end
  state.prompt = true
  channel.breakable()
  for name, module in pairs(source.public()) do
    if rawget(globals, name) == nil then rawset(globals, name, module) end
  end
end

task.inlet("@prompt", function(kind, id, text, width)
  prepare()
  requests[kind](id, text, width)
end)

return {
  --- The main fiber of a prompt's process: it is there so that the process lasts.
  serve = function()
    while true do
      task.park()
    end
  end,
  --- Where a coroutine is, for people. It is going to be ended, so it waits for nothing.
  place = function(co, fiber)
    channel.forget(fiber)
    return trim(debug.traceback(co))
  end,
}
