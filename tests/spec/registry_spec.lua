--- The registry: what is registered, by whom a class is taken, files.
local fs = require("fs")
local registry = require("registry")
local time = require("time")

local dir = os.getenv("TMPDIR") or "/tmp"
local files = {}

local function write(name, text)
  local path = ("%s/%d-%s"):format(dir, math.floor(time.now() * 1e6) % 1e9, name)
  assert(fs.write(path, text))
  files[#files + 1] = path
  return path
end

local function make(name, extra)
  local all = { name = name, input = { "a" }, invoke = function() end }
  for key, value in pairs(extra or {}) do
    all[key] = value
  end
  return all
end

describe("the registry", function()
  after_each(function()
    for _, map in ipairs(registry.list()) do
      registry.unregister(map.name)
    end
    for _, path in ipairs(files) do
      fs.remove(path)
    end
    files = {}
  end)

  it("takes a capability once", function()
    assert.is_true(registry.register(make("one")))
    local ok, err = registry.register(make("one"))
    assert.is_nil(ok)
    assert.equal("ALREADY_EXISTS", err:kind())
    assert.matches("'one' is registered already", err:message())
    assert.is_true(registry.unregister("one"))
    assert.is_true(registry.register(make("one")))
  end)

  it("takes what capability{} has checked, and lists", function()
    assert.is_true(registry.register(capability(make("a"))))
    assert.is_true(registry.register({ make("b"), make("c") }))
    local names = {}
    for i, map in ipairs(registry.list()) do
      names[i] = map.name
    end
    assert.same({ "a", "b", "c" }, names)
  end)

  it("does not know what is not there", function()
    local ok, err = registry.unregister("nobody")
    assert.is_nil(ok)
    assert.equal("NOT_FOUND", err:kind())
    local map, why = registry.get("nobody")
    assert.is_nil(map)
    assert.equal("NOT_FOUND", why:kind())
  end)

  it("answers who takes a class, by priority and then in order", function()
    registry.register(make("late", { priority = 9 }))
    registry.register(make("any", { input = { "*" } }))
    registry.register(make("group", { input = { "(a|b)" } }))
    registry.register(make("early", { priority = 1 }))
    assert.same({ "early", "any", "group", "late" }, registry.target_tasks("a"))
    assert.same({ "any", "group" }, registry.target_tasks("b"))
    assert.same({ "any" }, registry.target_tasks("c"))
    local names, err = registry.target_tasks("")
    assert.is_nil(names)
    assert.equal("INVALID", err:kind())
  end)

  it("refuses wrong types of arguments", function()
    assert.has_error(function() registry.register(5) end)
    assert.has_error(function() registry.get() end)
    assert.has_error(function() registry.unregister({}) end)
    assert.has_error(function() registry.target_tasks() end)
  end)

  it("refuses functions that hold what cannot be copied", function()
    local held = channel.new()
    local ok, err = registry.register(make("x", { invoke = function() return held end }))
    assert.is_nil(ok)
    assert.equal("INVALID", err:kind())
    assert.matches("x%.invoke%.held: object", err:message())
    local co = coroutine.create(function() end)
    ok, err = registry.register(make("x", { match = function() return co end }))
    assert.is_nil(ok)
    assert.matches("x%.match%.co: thread", err:message())
  end)

  it("loads a file with one capability and a list of them", function()
    local path = write("one.lua", [[
      return capability { name = "one", input = { "a" }, invoke = function() end }]])
    assert.is_true(registry.register(path))
    assert.equal(path, registry.get("one").file)
    path = write("two.lua", [[
      local function f() end
      return { capability { name = "two", input = { "a" }, invoke = f },
               { name = "three", input = { "a" }, invoke = f } }]])
    assert.is_true(registry.register(path))
    assert.same({ "one", "two", "three" }, registry.target_tasks("a"))
    local ok, err = registry.register(path)
    assert.is_nil(ok)
    assert.equal("ALREADY_EXISTS", err:kind())
  end)

  it("loads what a file requires from beside it", function()
    local helper = write("helper.lua", "return { class = 'beside' }")
    local name = helper:match("([^/]*)%.lua$")
    assert(registry.register(write("user.lua", ([[
      local helper = require("%s")
      return capability { name = "user", input = { helper.class }, invoke = function() end }
    ]]):format(name))))
    assert.same({ "beside" }, registry.get("user").input)
  end)

  local faults = {
    { "a syntax error", "return capability {", "%.lua:1: .*expected" },
    { "nothing", "", "expected a capability or a list of them, got nil" },
    { "a number", "return 5", "expected a capability or a list of them, got number" },
    { "an empty table", "return {}", "got an empty table" },
    { "an error", "error('no luck')", "%.lua:1: no luck" },
    { "an error object", "error(errors.new('no luck'))", "%.lua: no luck" },
    { "a faulty field", "return capability {\n  name = 'x', input = 'a' }",
      "%.lua:2: capability 'x': input: expected a list" },
    { "an unknown field", "return {\n\n capability {\n  name = 'x',\n  inputs = 'a' } }",
      "%.lua:3: capability 'x': inputs: unknown field" },
    { "a faulty table in a list", [[
      return { { name = "ok", input = { "a" }, invoke = print }, { name = "bad" } }]],
      "%.lua:1: capability 'bad': input: missing" },
    { "control characters in a name", "return capability { name = 'a\\27[31m' }",
      'got "a%?%[31m"' },
    { "a NUL in a name", "return capability { name = 'a\\0b' }", 'got "a%?b"' },
    { "a name of a megabyte", "return capability { name = ('n'):rep(1e6) }", "name: expected" },
    { "a fault of a megabyte", "error(('n'):rep(1e6), 0)", "nnn%.%.%.$" },
    { "bytecode", "\27LJ\2", "%.lua: " },
    { "what is not there", "return require('no.such')", "module 'no.such' not found" },
  }
  for _, case in ipairs(faults) do
    it("tells a file with " .. case[1] .. " in one line", function()
      local path = write("fault.lua", case[2])
      local ok, err = registry.register(path)
      assert.is_nil(ok)
      assert.equal("INVALID", err:kind())
      assert.equal(path, err:message():sub(1, #path))
      assert.matches(case[3], err:message())
      assert.is_nil(err:message():find("\n", 1, true))
      assert.is_true(#err:message() < 5000)
    end)
  end

  it("keeps what is good beside what is faulty", function()
    registry.register(write("half.lua", [[
      return { { name = "ok", input = { "a" }, invoke = print }, { name = "bad" } }]]))
    assert.same({ "ok" }, registry.target_tasks("a"))
  end)

  it("says when a path is not there", function()
    local ok, err = registry.register(dir .. "/no/such/file.lua")
    assert.is_nil(ok)
    assert.equal("NOT_FOUND", err:kind())
    ok, err = registry.register("")
    assert.is_nil(ok)
    assert.equal("INVALID", err:kind())
  end)

  it("gives up on a file that does not return", function()
    local ok, err = registry.register(write("loop.lua", "while true do end"))
    assert.is_nil(ok)
    assert.matches("loop.lua: did not return within 5 s", err:message())
  end)
end)
