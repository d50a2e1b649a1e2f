-- require: library modules shared and frozen, modules of scripts one per process.
local base = assert(os.getenv("TMP") or os.getenv("TMPDIR") or "/tmp")
local dir = base .. "/rt-require-" .. tostring(math.random(1e9)) .. "-" .. tostring(os.time())

local function write(name, text)
  local file = assert(io.open(dir .. "/" .. name, "w"))
  file:write(text)
  file:close()
end

describe("require", function()
  local before
  setup(function()
    assert(os.execute("mkdir -p '" .. dir .. "/sub'"))
    before = package.path
    package.path = dir .. "/?.lua;" .. dir .. "/?/init.lua;" .. package.path
  end)
  teardown(function()
    package.path = before
    os.execute("rm -rf '" .. dir .. "'")
  end)

  it("loads a module once", function()
    write("counter.lua", "count = (count or 0) + 1 return { n = count, name = ... }")
    local a, b = require("counter"), require("counter")
    assert.equal(a, b)
    assert.equal(1, a.n)
    assert.equal("counter", a.name)
    assert.equal(1, count) -- luacheck: ignore
    count = nil -- luacheck: ignore
  end)

  it("and spawn see each change of a file, also of one they know", function()
    local path = dir .. "/changing.lua"
    local function both(value)
      assert.equal(value, process.exec(path))
      assert.equal(value, process.exec(function(where)
        package.path = where
        return require("changing")
      end, package.path))
    end
    for i = 10, 40 do -- of one size, within a moment
      write("changing.lua", "return " .. i)
      both(i)
    end
    require("time").sleep(1.2) -- from then on its text is kept
    for _ = 1, 3 do
      both(40)
    end
    for i = 41, 44 do
      write("changing.lua", "return " .. i)
      both(i)
    end
    os.remove(path)
    local pid, err = process.spawn(path)
    assert.is_nil(pid)
    assert.equal("NOT_FOUND", err:kind())
    write("changing.lua", "return 50")
    both(50)
  end)

  it("gives each process its own instance", function()
    write("stateful.lua", [[
      local M = { n = 0 }
      function M.add() M.n = M.n + 1 return M.n end
      return M]])
    assert.equal(1, require("stateful").add())
    assert.equal(2, require("stateful").add())
    local value, err = process.exec(function(path)
      package.path = path
      return require("stateful").add()
    end, package.path)
    assert.is_nil(err)
    assert.equal(1, value)
  end)

  it("finds dotted names, init files and what is preloaded", function()
    write("sub/leaf.lua", "return 'leaf'")
    write("sub/init.lua", "return 'init'")
    assert.equal("leaf", require("sub.leaf"))
    assert.equal("init", require("sub"))
    package.preload["made up"] = function(name) return "preloaded " .. name end
    assert.equal("preloaded made up", require("made up"))
    package.loaded["given"] = 5
    assert.equal(5, require("given"))
  end)

  it("says what was tried", function()
    local ok, err = pcall(require, "not.there")
    assert.is_false(ok)
    assert.matches("module 'not.there' not found", err, 1, true)
    assert.matches(dir .. "/not/there.lua", err, 1, true)
  end)

  it("passes errors on, and may be asked again", function()
    write("faulty.lua", "error('on load')")
    for _ = 1, 2 do
      local ok, err = pcall(require, "faulty")
      assert.is_false(ok)
      assert.matches("on load", err)
    end
    write("syntax.lua", "return = 1")
    local ok, err = pcall(require, "syntax")
    assert.is_false(ok)
    assert.matches("error loading module 'syntax'", err)
  end)

  it("refuses a loop", function()
    write("loop_a.lua", "return require('loop_b')")
    write("loop_b.lua", "return require('loop_a')")
    local ok, err = pcall(require, "loop_a")
    assert.is_false(ok)
    assert.matches("loop", err)
  end)

  it("a module may wait while it loads", function()
    write("slow.lua", "require('time').sleep(0.005) return 'slow'")
    assert.equal("slow", require("slow"))
  end)

  it("keeps the library's modules from change and its inside from reach", function()
    local time = require("time")
    assert.has_error(function() time.sleep = nil end)
    assert.equal(time, require("time"))
    local hidden = { "rt.task", "rt.core.task", "rt.boot", "ffi", "jit", "string.buffer" }
    for _, name in ipairs(hidden) do
      assert.is_false((pcall(require, name)), name)
    end
    assert.equal(string, require("string"))
    assert.is_function(require("table.new"))
  end)

  it("dofile and loadfile run in the process's globals", function()
    write("done.lua", "made = 'by dofile' return ...")
    dofile(dir .. "/done.lua")
    assert.equal("by dofile", made) -- luacheck: ignore
    made = nil -- luacheck: ignore
    assert.equal(4, assert(loadfile(dir .. "/done.lua"))(4))
    local fn, err = loadfile(dir .. "/absent.lua")
    assert.is_nil(fn)
    assert.is_string(err)
    made = nil -- luacheck: ignore
  end)
end)
