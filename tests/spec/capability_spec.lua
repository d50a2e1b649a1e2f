--- What `capability { ... }` accepts, and what it says about the rest.
local registry = require("registry")

local function declare(extra)
  local all = { name = "x", input = { "a" }, invoke = function() end }
  for key, value in pairs(extra) do
    if value == "none" then value = nil end
    all[key] = value
  end
  return all
end

describe("a capability", function()
  local faults = {
    { { name = "none" }, "name: missing" },
    { { name = "" }, "name: expected a name" },
    { { name = "a b" }, 'name: expected a name.*got "a b"' },
    { { name = 5 }, "name: expected a name.*got 5" },
    { { description = 1 }, "description: expected a string, got 1" },
    { { input = "none" }, "input: missing" },
    { { input = "a" }, "input: expected a list of classes" },
    { { input = {} }, "input: expected at least one class, got an empty list" },
    { { input = { "a", 7 } }, "input: expected a class or a pattern at %[2%], got 7" },
    { { input = { "" } }, "input: expected a class or a pattern at %[1%]" },
    { { input = { "a b" } }, "input: expected a class or a pattern at %[1%]" },
    { { input = { x = "a" } }, "input: expected a list of classes" },
    { { output = "b" }, "output: expected a list of classes" },
    { { invoke = "none" }, "invoke: missing" },
    { { invoke = "run" }, 'invoke: expected a function, got "run"' },
    { { match = true }, "match: expected a function, got true" },
    { { rate_key = 1 }, "rate_key: expected a function, got 1" },
    { { prioritize = {} }, "prioritize: expected a function, got table" },
    { { priority = "high" }, 'priority: expected a number from 1 to 9, got "high"' },
    { { max_instances = -1 }, "max_instances: expected a whole number, 0 or more, got %-1" },
    { { max_instances = 1.5 }, "max_instances: expected a whole number" },
    { { timeout = "soon" }, 'timeout: expected a duration above 0.*got "soon"' },
    { { timeout = -1 }, "timeout: expected a duration above 0" },
    { { timeout = {} }, "timeout: expected a duration above 0 .*got table" },
    { { retries = 2 ^ 31 }, "retries: expected a whole number up to 2147483647, got 2147483648" },
    { { retries = "2" }, 'retries: expected a whole number, 0 or more, got "2"' },
    { { rate = 0 }, "rate: expected a number a second" },
    { { rate = "fast" }, 'rate: expected a number a second.*got "fast"' },
    { { rate = "5/" }, "rate: expected a number a second" },
    { { options = 1 }, "options: expected a table of options, got 1" },
    { { options = { p = 5 } }, "options: expected p = { default =, description = }, got 5" },
    { { options = { p = { value = 1 } } }, "options: expected p to have default" },
    { { options = { p = { default = {} } } }, "options: expected p to be a string" },
    { { options = { p = { default = 1, type = "string" } } }, "options: expected p to be" },
    { { inputs = { "a" } }, "inputs: unknown field" },
  }

  for _, case in ipairs(faults) do
    it("is refused: " .. case[2], function()
      local ok, err = pcall(capability, declare(case[1]))
      assert.is_false(ok)
      assert.matches(case[2], err)
      local registered, why = registry.register(declare(case[1]))
      assert.is_nil(registered)
      assert.equal("INVALID", why:kind())
      assert.matches(case[2], why:message())
    end)
  end

  it("names the line where it is called", function()
    local chunk = loadstring("local x\nx = capability { name = 1 }\nreturn x", "@some/file.lua")
    local ok, err = pcall(chunk)
    assert.is_false(ok)
    assert.matches("^some/file.lua:2: capability: name: expected a name", err)
  end)

  it("must be a table", function()
    assert.has_error(function() capability("x") end)
    assert.has_error(function() capability() end)
  end)

  local function declared(extra)
    assert(registry.register(declare(extra)))
    local map = assert(registry.get("x"))
    assert(registry.unregister("x"))
    return map
  end

  it("has defaults", function()
    local map = declared({})
    assert.equal("", map.description)
    assert.same({ "a" }, map.input)
    assert.same({}, map.output)
    assert.equal(5, map.priority)
    assert.equal(0, map.max_instances)
    assert.equal(3600, map.timeout)
    assert.equal(0, map.retries)
    assert.is_nil(map.rate)
  end)

  for given, expected in pairs({ [0] = 5, [-3] = 1, [1] = 1, [9] = 9, [12] = 9, [4.7] = 4 }) do
    it("clamps priority " .. given, function()
      assert.equal(expected, declared({ priority = given }).priority)
    end)
  end

  local rates = { ["200/s"] = 200, ["30/m"] = 0.5, ["1/250ms"] = 4, ["36/h"] = 0.01, [7] = 7 }
  for given, expected in pairs(rates) do
    it("takes the rate " .. given, function()
      assert.near(expected, declared({ rate = given }).rate, 1e-9)
    end)
  end

  it("takes durations", function()
    assert.equal(5400, declared({ timeout = "1h30m" }).timeout)
    assert.equal(0.25, declared({ timeout = 0.25 }).timeout)
    assert.is_false(declared({ timeout = false }).timeout)
  end)

  it("types its options by their defaults", function()
    local map = declared({ options = {
      a = { default = "x", description = "words" }, b = { default = 2 }, c = { default = false },
      d = {}, e = { type = "number" },
    } })
    assert.same({ default = "x", description = "words", type = "string" }, map.options.a)
    assert.equal("number", map.options.b.type)
    assert.equal("boolean", map.options.c.type)
    assert.equal("string", map.options.d.type)
    assert.equal("number", map.options.e.type)
  end)
end)
