--- rt.test.report - `runtime test`: its arguments, its lines, its exit code.
-- SPDX-License-Identifier: MIT
local fs = require("fs")
local json = require("json")
local sandbox = require("rt.sandbox")
local testing = require("testing")

local M = {}

local print = sandbox.base.print

-- Of a folder: the files that are called so, in byte order; below it, too.
local function tests_in(folder, list)
  local walk, err = fs.walk(folder)
  if not walk then return err:message() end
  for path in walk do
    if path:find("[._]test%.lua$") then list[#list + 1] = path end
  end
  return nil
end

local function add_path(path, list)
  local stat, err = fs.stat(path)
  if not stat then return err:message() end
  if stat.type ~= "directory" then
    list[#list + 1] = path
    return nil
  end
  local before = #list
  local fault = tests_in(path, list)
  if fault then return fault end
  return #list == before and path .. ": no file called *.test.lua in it" or nil
end

local function print_difference(difference)
  print(("          %-9s expected  %s"):format(difference.what, difference.expected))
  print(("          %-9s got       %s"):format("", (difference.got:gsub("\n", "\n\t\t\t      "))))
  if difference.detail then
    for line in difference.detail:gmatch("[^\n]+") do
      if not line:find("rt/test/", 1, true) then print("          " .. line) end
    end
  end
end

local function summary_of(result)
  local sent = #result.sent
  local words = ("%s, %d %s"):format(result.state, sent, sent == 1 and "result" or "results")
  if result.runs then words = ("%s, %d runs"):format(words, #result.runs) end
  if result.time > 0 then words = ("%s, %g s"):format(words, result.time) end
  return words
end

local function show(case)
  if case.ok then
    return print(("    ok    %s (%s)"):format(case.name, summary_of(case.result)))
  end
  print(("    FAIL  %s"):format(case.name))
  for _, difference in ipairs(case.differences) do
    print_difference(difference)
  end
end

local function as_text()
  local last
  return function(case)
    if case.file ~= last then
      last = case.file
      print("  " .. last)
    end
    show(case)
  end
end

local function as_json(case)
  local result = case.result
  local differences = #case.differences > 0 and case.differences or nil
  print(json.encode({
    file = case.file,
    name = case.name,
    ok = case.ok,
    state = result and result.state,
    sent = result and #result.sent > 0 and result.sent or nil,
    time = result and result.time,
    differences = differences,
  }))
end

--- Run the tests in these files and folders.
---@param paths string[]
---@param opts {json: boolean?, filter: string?}
---@return integer exit_code
function M.main(paths, opts)
  local files = {}
  for _, path in ipairs(paths) do
    local fault = add_path(path, files)
    if fault then
      sandbox.base.io.stderr:write("runtime: ", fault, "\n")
      return 1
    end
  end
  local report = testing.run(files, {
    filter = opts.filter,
    on_case = opts.json and as_json or as_text(),
  })
  if not opts.json then print(("%d passed, %d failed"):format(report.passed, report.failed)) end
  if report.passed + report.failed == 0 then
    sandbox.base.io.stderr:write("runtime: no case was run\n")
    return 1
  end
  return report.failed == 0 and 0 or 1
end

return M
