--- testing - capability tests: a capability alone with fakes for everything outside.
--
--   local report = testing.run({ "scripts/port-scan.test.lua" })
--   print(report.passed, report.failed)
--
-- `runtime test` is this module. What a test file holds: docs/testing.md.
-- SPDX-License-Identifier: MIT
local check = require("rt.check")
local declaration = require("rt.declaration")
local course = require("rt.test.course")
local errors = require("rt.errors")
local fence = require("rt.test.fence")
local file = require("rt.test.file")
local job = require("rt.test.job")
local replay = require("rt.test.replay")
local source = require("rt.source")
local verdict = require("rt.test.verdict")
local world = require("rt.test.world")

local M = {}

-- the capability --------------------------------------------------------------------------------

local function pick(list, name, path)
  if declaration.is(list) or list.invoke then list = { list } end
  for _, each in ipairs(list) do
    if not name or each.name == name then return each end
  end
  return nil, ("%s: no capability '%s' in it"):format(path, name)
end

local function evaluate(chunk, around)
  local value
  local ending = around.clock:run(function()
    value = chunk()
  end)
  if ending.kind == "done" then return value end
  if ending.kind ~= "error" then return nil, "its chunk did not return" end
  return nil, tostring(errors.of(ending.error)._message)
end

-- The capability, made anew in the world of a case: cases share nothing.
local function load_capability(path, name, around)
  local text, err = source.read(path)
  if not text then return nil, err end
  local chunk
  chunk, err = source.load(text, "@" .. path, around.globals)
  if not chunk then return nil, err end
  local value
  value, err = evaluate(chunk, around)
  if type(value) ~= "table" then
    return nil, err or path .. ": expected a capability, got " .. type(value)
  end
  local raw
  raw, err = pick(value, name, path)
  if not raw then return nil, err end
  local declared, fault = declaration.check(raw)
  if not declared then return nil, ("%s: %s"):format(path, fault) end
  return declared
end

-- Declared options with their defaults, those of the file and those of the case over them.
local function options_of(declared, suite, case)
  local values = {}
  for name, spec in pairs(declared.options) do
    values[name] = spec.default
  end
  for _, given in ipairs({ suite.options or {}, case.options or {} }) do
    for name, value in pairs(given) do
      local spec = declared.options[name]
      if not spec then
        return nil, ("options.%s: %s has no such option"):format(name, declared.name)
      end
      if type(value) ~= spec.type then
        return nil, ("options.%s: expected a %s, got %s"):format(name, spec.type, type(value))
      end
      values[name] = value
    end
  end
  return values
end

local function fakes_of(suite, case)
  local fakes = {}
  for _, given in ipairs({ suite.fakes or {}, case.fakes or {} }) do
    for module, each in pairs(given) do
      fakes[module] = each
    end
  end
  return fakes
end

-- cases -----------------------------------------------------------------------------------------

local function broken(text)
  return { { what = "test", expected = "a case that can run", got = text } }
end

-- The recorded attempt that a case with `replay` plays back: the first on its asset.
local function recorded_run(path, case, name)
  if case.run or not case.replay or not case.asset then return case.run end
  local runs, fault = replay.read(file.beside(path, case.replay))
  if not runs then return nil, fault end
  for _, run in ipairs(runs) do
    local same = run.capability == name and run.asset and run.asset.class == case.asset.class
    if same and run.asset.value == case.asset.value then return run end
  end
  local text = "replay: %s has no job of %s on %s:%s"
  return nil, text:format(case.replay, name, case.asset.class, case.asset.value)
end

local function world_of(suite, case, look, opts)
  local fakes = fakes_of(suite, case)
  if case.run and not fakes.time then fakes.time = { now = case.run.now } end
  return world.new(fakes, look, opts.limit), fakes
end

-- What the case says of the asset and the scope, against what is declared; nil and what is wrong.
local function check_asset(suite, case, declared, around)
  local ok, fault = fence.install(around, case.scope or suite.scope)
  if not ok then return nil, "scope: " .. fault end
  around.active = declared.active and declared or nil
  local asset = case.asset
  if not asset then
    if declared.every then return true end
    return nil, "asset: expected { class =, value = }: only one with `every` runs without"
  end
  if not job.takes(declared.input, asset.class) then
    return nil, ("asset: %s does not take class '%s'"):format(declared.name, asset.class)
  end
  local inside, why = fence.has(around, asset.class, asset.value)
  if not inside then return nil, "asset: it is out of scope and would not run: " .. why end
  return true
end

local function run_case(path, suite, case, opts)
  local capability_path = file.beside(path, suite.capability)
  local look = file.folder(capability_path) .. "?.lua;" .. file.folder(path) .. "?.lua"
  local around, fakes = world_of(suite, case, look, opts)
  local declared, err = load_capability(capability_path, suite.name, around)
  if not declared then return broken(err) end
  local run, fault = recorded_run(path, case, declared.name)
  if fault then return broken(fault) end
  if run then replay.install(around, run, fakes) end
  local ok
  ok, err = check_asset(suite, case, declared, around)
  if not ok then return broken(err) end
  local options
  options, err = options_of(declared, suite, case)
  if not options then return broken(err) end
  local runner = case.advance and course or job
  local result = runner.run(around, declared, options, case)
  return verdict.compare(case, result), result
end

-- The name of the capability that a file tests.
local function name_of(path, suite)
  if suite.name then return suite.name end
  local around = world.new({}, file.folder(path) .. "?.lua")
  local declared, err = load_capability(file.beside(path, suite.capability), nil, around)
  if not declared then return nil, err end
  return declared.name
end

-- Those in the file, then one for each recorded attempt that came to its end.
local function cases_of(path, suite)
  local cases = suite.cases or {}
  if not suite.replay then return cases end
  local name, fault = name_of(path, suite)
  local runs
  if name then
    runs, fault = replay.read(file.beside(path, suite.replay))
  end
  if not runs then return nil, fault end
  local found = 0
  for _, run in ipairs(runs) do
    if run.capability == name and run.asset and run.ended then
      cases[#cases + 1], found = replay.case(run), found + 1
    end
  end
  if found == 0 then
    return nil, ("replay: no job of %s has come to its end in %s"):format(name, suite.replay)
  end
  return cases
end

local function run_file(path, report, opts)
  local suite, fault = file.read(path)
  if not suite then
    report:add({ file = path, name = "(file)", differences = broken(fault) })
    return
  end
  local cases
  cases, fault = cases_of(path, suite)
  if not cases then
    report:add({ file = path, name = "(replay)", differences = broken(fault) })
    return
  end
  for _, case in ipairs(cases) do
    if not opts.filter or case.name:find(opts.filter, 1, true) then
      local differences, result = run_case(path, suite, case, opts)
      report:add({ file = path, name = case.name, differences = differences, result = result })
    end
  end
end

-- report ----------------------------------------------------------------------------------------

local function new_report(on_case)
  local report = { passed = 0, failed = 0, cases = {} }
  function report.add(self, case)
    case.ok = #case.differences == 0
    local counter = case.ok and "passed" or "failed"
    self[counter] = self[counter] + 1
    self.cases[#self.cases + 1] = case
    if on_case then on_case(case) end
  end
  return report
end

--- Run the cases of test files.
---@param paths string[]
---@param opts {filter: string?, limit: number?, on_case: fun(case: table)?}?  filter: only cases
--- whose name has it; limit: real seconds that a case may compute (10)
---@return {passed: integer, failed: integer, cases: table[]} report  a case: {file, name, ok,
--- differences = {{what, expected, got}...}, result}
function M.run(paths, opts)
  check.table(paths, 1, "run")
  opts = check.optional_table(opts, 2, "run") or {}
  check.optional_string(opts.filter, "filter", "run")
  check.optional_number(opts.limit, "limit", "run")
  check.optional_func(opts.on_case, "on_case", "run")
  local report = new_report(opts.on_case)
  for _, path in ipairs(paths) do
    run_file(check.string(path, 1, "run"), report, opts)
  end
  report.add = nil
  return report
end

--- What `runtime test` does: run the files (of folders, those called *.test.lua), print a line for
--- each case and a summary.
---@param paths string[]
---@param opts {filter: string?, json: boolean?}?
---@return integer exit_code  0, or 1 when a case failed
function M.main(paths, opts)
  check.table(paths, 1, "main")
  return require("rt.test.report").main(paths, check.optional_table(opts, 2, "main") or {})
end

return M
