--- Capabilities whose file has changed: registry.reload.
-- SPDX-License-Identifier: MIT
local env = require("tests.support.session_env")
local events = require("events")
local fs = require("fs")
local registry = require("registry")

local path = ("%s/rt-reload-%d.lua"):format(os.getenv("TMPDIR") or "/tmp", math.random(1e9))

local function write(text)
  assert(fs.write(path, text))
end

local function version(word, more)
  write(([[
    return capability {
      name = "told", input = { "n" }, output = { "m" }, %s
      invoke = function(job, asset)
        if asset.value == "slow" then
          require("events").send("reload", "runs", "x")
          local sub = assert(require("events").subscribe("reload", "go"))
          require("events").send("reload", "ready", "x")
          sub:channel():receive("30s")
        end
        job:send { class = "m", value = asset.value .. " by %s" }
      end,
    }]]):format(more or "", word))
end

describe("registry.reload", function()
  local s, sub

  before_each(function()
    sub = assert(events.subscribe("reload", "ready"))
    version("one")
    assert(registry.register(path))
    s = env.open(nil)
  end)
  after_each(function()
    env.close_all()
    sub:close()
    registry.unregister("told")
    fs.remove(path)
  end)

  it("puts the new version in the place of the old one", function()
    env.run(s, "n", { "a" })
    version("two")
    assert.same({ "told" }, registry.reload(path))
    env.run(s, "n", { "b" })
    assert.same({ "a by one", "b by two" }, env.values(s, "m"))
  end)

  it("changes nothing when nothing has changed", function()
    assert.same({}, registry.reload(path))
    env.run(s, "n", { "a" })
    assert.same({ "a by one" }, env.values(s, "m"))
  end)

  it("lets running jobs end on their version", function()
    assert(s:dispatch({ class = "n", value = "slow" }))
    sub:channel():receive("30s")
    version("two")
    assert.same({ "told" }, registry.reload(path))
    assert(s:dispatch({ class = "n", value = "b" }))
    env.eventually(function()
      return #env.values(s, "m") == 1
    end)
    events.send("reload", "go", "x")
    s:wait("30s")
    assert.same({ "b by two", "slow by one" }, env.values(s, "m"))
  end)

  it("keeps what waits in the queue for the new version", function()
    version("one", "max_instances = 1,")
    assert.same({ "told" }, registry.reload(path))
    assert(s:dispatch({ class = "n", value = "slow" }))
    sub:channel():receive("30s")
    for i = 1, 20 do
      assert(s:dispatch({ class = "n", value = tostring(i) }))
    end
    version("two", "max_instances = 1,")
    assert.same({ "told" }, registry.reload(path))
    events.send("reload", "go", "x")
    s:wait("30s")
    local values = env.values(s, "m")
    assert.equal(21, #values)
    for _, value in ipairs(values) do
      assert.is_truthy(value:find("by two$") or value == "slow by one", value)
    end
    assert.equal(0, s:stats().skipped)
  end)

  it("records the version that a job has begun with", function()
    version("one", 'version = "1",')
    assert.same({ "told" }, registry.reload(path))
    env.run(s, "n", { "a" })
    assert(s:dispatch({ class = "n", value = "slow" }))
    sub:channel():receive("30s")
    version("two", 'version = "2",')
    assert.same({ "told" }, registry.reload(path))
    env.eventually(function() -- the session has it
      assert(s:dispatch({ class = "n", value = "b" }))
      return #env.values(s, "m") == 2
    end)
    events.send("reload", "go", "x")
    s:wait("30s")
    assert.same({ "a by one", "b by two", "slow by one" }, env.values(s, "m"))
    local versions = {}
    for job in s:jobs() do
      versions[job.target] = job.version
    end
    assert.same({ ["n:a"] = "1", ["n:b"] = "2", ["n:slow"] = "1" }, versions)
  end)

  it("counts the instances of the one before", function()
    version("one", "max_instances = 1,")
    assert.same({ "told" }, registry.reload(path))
    assert(s:dispatch({ class = "n", value = "slow" }))
    sub:channel():receive("30s")
    version("two", "max_instances = 1,")
    assert.same({ "told" }, registry.reload(path))
    assert(registry.register({
      name = "other",
      input = { "n" },
      output = { "o" },
      invoke = function(job, asset)
        job:send({ class = "o", value = asset.value })
      end,
    }))
    assert(s:dispatch({ class = "n", value = "b" }))
    env.eventually(function()
      return env.values(s, "o")[1] == "b"
    end)
    registry.unregister("other")
    assert.same({}, env.values(s, "m"))
    events.send("reload", "go", "x")
    s:wait("30s")
    assert.same({ "b by two", "slow by one" }, env.values(s, "m"))
  end)

  it("goes on with holds and scale", function()
    version("one", 'rate_key = function() return "k" end,')
    write((fs.read(path):gsub("invoke = function%(job, asset%)", "%0\n        job:hold(3600)")))
    assert.same({ "told" }, registry.reload(path))
    assert(s:dispatch({ class = "n", value = "a" }))
    local function held(count)
      env.eventually(function()
        local reason = s:why().reasons[1]
        return reason and reason.what == "waits for its rate" and reason.count == count
      end)
    end
    held(1)
    version("two", 'rate_key = function() return "k" end,')
    assert.same({ "told" }, registry.reload(path))
    assert(s:dispatch({ class = "n", value = "b" }))
    held(2)
    assert.same({}, env.values(s, "m"))
  end)

  for _, case in ipairs({
    { "does not compile", "return capability {", ":1: " },
    { "is faulty", 'return capability {\n  name = "told",\n  input=5 }', ":3: capability 'told'" },
    { "returns nothing", "", "expected a capability" },
  }) do
    it("keeps the old version when the new one " .. case[1], function()
      write(case[2])
      local names, err = registry.reload(path)
      assert.is_nil(names)
      assert.is_truthy(err:message():find(case[3], 1, true), err:message())
      assert.is_truthy(err:message():find(path, 1, true), err:message())
      env.run(s, "n", { "a" })
      assert.same({ "a by one" }, env.values(s, "m"))
    end)
  end

  it("takes other inputs into account", function()
    version("two")
    write((fs.read(path):gsub('input = { "n" }', 'input = { "k" }')))
    assert.same({ "told" }, registry.reload(path))
    assert.same({}, registry.target_tasks("n"))
    env.run(s, "k", { "a" })
    assert.same({ "a by two" }, env.values(s, "m"))
  end)

  it("takes away what its file declares no longer", function()
    local text = fs.read(path)
    local two = ([[
      return { (function() %s end)(), capability {
        name = "also", input = { "n" }, output = { "o" },
        invoke = function(job, asset) job:send { class = "o", value = asset.value } end } }]])
      :format(text)
    write(two)
    assert.same({ "told", "also" }, registry.reload(path))
    env.run(s, "n", { "a" })
    assert.same({ "a" }, env.values(s, "o"))
    write(text)
    assert.same({ "told", "also" }, registry.reload(path))
    assert.same({ "told" }, registry.target_tasks("n"))
    env.run(s, "n", { "b" })
    assert.same({ "a" }, env.values(s, "o"))
    assert.same({ "a by one", "b by one" }, env.values(s, "m"))
  end)

  it("takes away all of a file that is gone from its folder, and of no other", function()
    local folder = assert(fs.temp_dir("rt-reload"))
    for _, name in ipairs({ "here", "there" }) do
      assert(fs.write(("%s/%s.lua"):format(folder, name), ([[
        return capability { name = "%s", input = { "k" },
          invoke = function() end }]]):format(name)))
    end
    assert(registry.register(folder))
    assert.same({ "here", "there" }, registry.target_tasks("k"))
    assert(fs.remove(folder .. "/here.lua"))
    assert.same({ "here" }, registry.reload(folder))
    assert.same({ "there" }, registry.target_tasks("k"))
    assert.same({ "told" }, registry.target_tasks("n"))
    assert(registry.unregister("there"))
    fs.remove(folder, { recursive = true })
  end)

  it("counts a module that the file requires as a part of it", function()
    local folder = assert(fs.temp_dir("rt-reload"))
    local function module(word)
      assert(fs.write(folder .. "/lib/words.lua", ('return { word = "%s" }'):format(word)))
    end
    assert(fs.mkdir(folder .. "/lib"))
    module("first")
    assert(fs.write(folder .. "/part.lua", [[
      local words = require("lib.words")
      return capability { name = "part", input = { "k" }, output = { "w" },
        invoke = function(job, asset)
          job:send { class = "w", value = asset.value .. " " .. words.word }
        end }]]))
    assert(registry.register(folder))
    assert.same({ folder .. "/lib/words.lua" }, registry.get("part").modules)
    env.run(s, "k", { "a" })
    assert.same({}, registry.reload(folder))
    module("second")
    assert.same({ "part" }, registry.reload(folder))
    env.run(s, "k", { "b" })
    assert.same({ "a first", "b second" }, env.values(s, "w"))
    local versions = {}
    for job in s:jobs({ capability = "part" }) do
      versions[#versions + 1] = job.version
    end
    assert.equal(2, #versions)
    assert.is_not.equal(versions[1], versions[2])
    assert(fs.write(folder .. "/lib/words.lua", "return {"))
    local names, err = registry.reload(folder)
    assert.is_nil(names)
    assert.is_truthy(err:message():find("lib/words.lua:1:", 1, true), err:message())
    env.run(s, "k", { "c" })
    assert(registry.unregister("part"))
    fs.remove(folder, { recursive = true })
  end)

  it("does not take the name of another file's capability", function()
    local other = path .. ".other.lua"
    assert(fs.write(other, (fs.read(path))))
    local names, err = registry.reload(other)
    assert.is_nil(names)
    assert.equal("ALREADY_EXISTS", err:kind())
    fs.remove(other)
  end)

  it("wants a path", function()
    assert.equal("INVALID", select(2, registry.reload("")):kind())
    assert.equal("NOT_FOUND", select(2, registry.reload("/nowhere/at/all.lua")):kind())
    assert.has_error(function()
      registry.reload(5)
    end)
  end)
end)
