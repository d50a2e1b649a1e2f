--- runtime tests/mutants/run.lua WORK DEPS [PART]: tries each fault of list.lua (or those with PART
-- in their name) in a copy of the sources below WORK: builds it, runs the test that must fail,
-- mends it.
-- SPDX-License-Identifier: MIT
local exec = require("exec")
local fs = require("fs")
local time = require("time")

local work, deps, part = arg[1], arg[2], arg[3] or ""
assert(work and deps, "usage: run.lua WORK DEPS [PART]")
local tree, build = work .. "/tree", work .. "/build"
local PARTS = { "Makefile", "include", "runtime", "lua", "deps", "tools", "tests", "scripts",
  "examples", "docs" }
-- A fault may make its test hang: that, too, is seen.
local LIMIT = "150s"

local function shell(command, limit)
  return assert(exec.run("bash", { "-c", command }, { timeout = limit or "1200s" }))
end

local function quoted(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

local function make(targets)
  local command = "make -C %s BUILD=%s DEPS=%s -o %s/luajit.stamp -j2 %s 2>&1"
  local result = shell(command:format(quoted(tree), quoted(build), quoted(deps), quoted(deps),
    table.concat(targets, " ")))
  return result.code == 0, result.stdout
end

-- What has to be built for a test, and how it is run: "c/NAME", "spec/NAME", "cli/NAME".
local function plan_of(test)
  local kind, name = test:match("^(%w+)/([%w_]+)$")
  local program = build .. "/runtime"
  if kind == "c" then
    local path = ("%s/tests/test_%s"):format(build, name)
    return { path }, quoted(path)
  elseif kind == "spec" then
    return { "all" }, ("%s tests/run.lua tests/spec/%s_spec.lua"):format(quoted(program), name)
  end
  local with = "RUNTIME=%s BUILD=%s bash tests/cli/%s.sh"
  return { "all" }, with:format(quoted(program), quoted(build), name)
end

local function run(command)
  local folder = assert(fs.temp_dir("mutant"))
  local ok, result = pcall(shell, ("cd %s && TMP=%s TMPDIR=%s timeout -k 5 140 env %s 2>&1"):format(
    quoted(tree), quoted(folder), quoted(folder), command), LIMIT)
  fs.remove(folder, { recursive = true })
  return ok and result.code == 0, ok and result.stdout or tostring(result)
end

-- The first thing that failed, as the test told it.
local function first_failure(text)
  return ("\n" .. text):match("\nnot ok %-? ?([^\n]*)")
    or text:match("%[  FAILED  %] ([^\n]*)") or "it did not end well"
end

local function try(mutant)
  local path = tree .. "/" .. mutant.file
  local whole = assert(fs.read(path))
  local at, to = whole:find(mutant.from, 1, true)
  assert(at and not whole:find(mutant.from, to, true), mutant.name .. ": does not apply (once)")
  local targets, command = plan_of(mutant.test)
  assert(fs.write(path, whole:sub(1, at - 1) .. mutant.to .. whole:sub(to + 1)))
  local built, words = make(targets)
  local passed, said
  if built then passed, said = run(command) end
  assert(fs.write(path, whole))
  if not built then return nil, "does not build:\n" .. words end
  if passed then return nil, mutant.test .. " passes all the same" end
  return first_failure(said)
end

-- Anew each time: what is left of an earlier copy may be younger than what is copied.
local function copy_tree()
  fs.remove(work, { recursive = true })
  assert(fs.mkdir(tree, { parents = true }))
  local result = shell(("cp -a %s %s/"):format(table.concat(PARTS, " "), quoted(tree)))
  assert(result.code == 0, result.stderr)
end

-- Without a fault the tests pass: else their failures would say nothing.
local function sound(mutants)
  local seen = {}
  for _, mutant in ipairs(mutants) do
    if not seen[mutant.test] then
      seen[mutant.test] = true
      local targets, command = plan_of(mutant.test)
      local built, words = make(targets)
      assert(built, words)
      local passed, said = run(command)
      assert(passed, mutant.test .. " fails without a fault: " .. said)
    end
  end
end

local mutants, failed = {}, 0
for _, mutant in ipairs(dofile("tests/mutants/list.lua")) do
  if mutant.name:find(part, 1, true) then mutants[#mutants + 1] = mutant end
end
copy_tree()
sound(mutants)
for _, mutant in ipairs(mutants) do
  local begin = time.monotonic()
  local how, fault = try(mutant)
  local line = "%s - %s (%s: %s) %.0f s"
  if not how then failed = failed + 1 end
  print(line:format(how and "ok" or "not ok", mutant.name, mutant.test, how or fault,
    time.monotonic() - begin))
end
print(("%d passed, %d failed"):format(#mutants - failed, failed))
os.exit(failed == 0 and 0 or 1)
