--- Runs one busted spec file inside the runtime itself.
-- Usage: build/runtime tests/run.lua tests/spec/NAME_spec.lua [part of a test's name]
-- Prints "ok - NAME" or "not ok - NAME" and the reason for each test, and ends with exit code 1
-- when one failed. A test is a coroutine of the main process: it may wait like any script. busted's
-- own C helpers (lfs, system, term) are not loaded into the sandbox; tests/support/busted_shim.lua
-- stands in for what busted needs of them.
-- SPDX-License-Identifier: MIT

local here = arg[0]:match("^(.*)/[^/]*$") or "."
local spec, only = arg[1], arg[2]
if not spec then
  io.stderr:write("usage: runtime tests/run.lua FILE [NAME]\n")
  os.exit(2)
end

local debian = "/usr/share/lua/5.1/"
package.path = ("%s/support/?.lua;%s;%s?.lua;%s?/init.lua"):format(
  here, package.path, debian, debian)
require("busted_shim")

local busted = require("busted.core")()
require("busted")(busted)

local passed, failed, pending = 0, 0, 0

local function full_name(element)
  local parts = {}
  while element and element.descriptor ~= "suite" and element.descriptor ~= "file" do
    table.insert(parts, 1, tostring(element.name or element.descriptor))
    element = busted.context.parent(element)
  end
  return table.concat(parts, " ")
end

local reasons = {}

--- Only the lines of a traceback that are not busted's own.
local function trim(traceback)
  local kept = {}
  for line in traceback:gmatch("[^\n]+") do
    local own = line:find("/busted/", 1, true) or line:find("tests/run.lua", 1, true)
    if not own and not line:find("'xpcall'", 1, true) then kept[#kept + 1] = line end
  end
  return table.concat(kept, "\n")
end

local function note(element, message, trace)
  local text = tostring(message)
  if trace and trace.traceback then text = text .. "\n" .. trim(trace.traceback) end
  reasons[#reasons + 1] = text
  -- An error outside of a test (in a describe, a setup, the file) is a failure of its own.
  if element.descriptor ~= "it" then
    failed = failed + 1
    local name = element.descriptor == "file" and spec or full_name(element)
    print("not ok - " .. name .. " (" .. tostring(element.descriptor) .. ")")
    print((text:gsub("\n", "\n    ")))
    reasons = {}
  end
end

busted.subscribe({ "failure" }, function(element, _, message, trace)
  note(element, message, trace)
  return nil, true
end)
busted.subscribe({ "error" }, function(element, _, message, trace)
  note(element, message, trace)
  return nil, true
end)
busted.subscribe({ "test", "start" }, function()
  reasons = {}
  return nil, true
end)
busted.subscribe({ "test", "end" }, function(element, _, status)
  if status == "success" then
    passed = passed + 1
    print("ok - " .. full_name(element))
  elseif status == "pending" then
    pending = pending + 1
    print("pending - " .. full_name(element))
  else
    failed = failed + 1
    print("not ok - " .. full_name(element))
    for _, reason in ipairs(reasons) do
      print("    " .. reason:gsub("\n", "\n    "))
    end
  end
  return nil, true
end)

if only then
  local run_it = busted.executors.it
  local function filtered(name, fn)
    if tostring(name):find(only, 1, true) then return run_it(name, fn) end
  end
  busted.export("it", filtered)
end

local chunk, err = loadfile(spec)
if not chunk then
  print("not ok - " .. spec .. " does not load\n    " .. tostring(err))
  os.exit(1)
end

local file = { getTrace = function(_, info) return info end }
busted.executors.file(spec, setmetatable(file, { __call = chunk }))
require("busted.execute")(busted)(1, {})

local rest = pending > 0 and (", " .. pending .. " pending") or ""
print(("%d passed, %d failed%s"):format(passed, failed, rest))
os.exit((failed > 0 or passed == 0) and 1 or 0)
