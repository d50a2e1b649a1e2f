--- Rows C-01 to C-19 of what capabilities take after, as far as no other spec is about them.
local env = require("session_env")
local registry = require("registry")

local function echo(name, from, to, more)
  local cap = { name = name, input = { from }, output = { to } }
  cap.invoke = function(job, asset)
    local target = job.capability:match("%-(%w+)$")
    job:send({ class = target, value = asset.value, metadata = { from = asset.class } })
  end
  for key, value in pairs(more or {}) do
    cap[key] = value
  end
  return cap
end

local function states(s, capability)
  local list = {}
  for job in s:jobs({ capability = capability }) do
    list[#list + 1] = job.target .. " " .. job.state .. (job.reason and " " .. job.reason or "")
  end
  table.sort(list)
  return table.concat(list, "; ")
end

describe("capabilities", function()
  after_each(env.close_all)

  it("C-01 C-19 join a flow by their types alone", function()
    local s = env.open({ echo("one-b", "a", "b"), echo("two-c", "b", "c") })
    env.run(s, "a", { "x" })
    assert.same({ "x" }, env.values(s, "c"))
    assert.same({}, env.values(s, "d"))
    env.close_all()
    local t = env.open({ echo("one-b", "a", "b"), echo("two-c", "b", "c"),
      echo("three-d", "c", "d") }, { name = s:name() })
    assert.equal("duplicate", t:dispatch({ class = "a", value = "x" }))
    assert(t:dispatch({ class = "c", value = "y" }))
    assert(t:wait("60s"))
    assert.same({ "x", "y" }, env.values(t, "d"))
    assert.equal("three-d", assert(t:asset("d:x")).capability)
  end)

  it("C-05 C-14 are asked by type first, then by match; a skip is no failure", function()
    local asked = echo("asked-b", "a", "b", {
      match = function(asset)
        if asset.class ~= "a" then error("asked about another class") end
        if asset.value == "no" then return false, "not this one" end
        return true
      end,
    })
    local s = env.open({ asked, echo("other-c", "z", "c") })
    assert(s:dispatch({ class = "z", value = "no" }))
    env.run(s, "a", { "yes", "no" })
    assert.equal("a:no skipped not this one; a:yes completed", states(s, "asked-b"))
    local stats = assert(s:stats())
    assert.equal(0, stats.failed)
    assert.equal(1, stats.skipped)
  end)

  it("C-06 C-17 fail alone: what they sent stays, others go on", function()
    local half = { name = "half", input = { "a" }, output = { "b" }, invoke = function(job, asset)
      job:send({ class = "b", value = asset.value })
      error("in the middle of " .. asset.value)
    end }
    local s = env.open({ half, echo("whole-c", "a", "c") })
    env.run(s, "a", { "x", "y" })
    assert.same({ "x", "y" }, env.values(s, "b"))
    assert.same({ "x", "y" }, env.values(s, "c"))
    local failed = env.list(s:jobs({ state = "failed" }))
    assert.equal(2, #failed)
    assert.matches("in the middle of", failed[1].errors[1].message)
  end)

  it("C-08 send assets with class, value, key, metadata; the parent is known", function()
    local s = env.open({ { name = "keyed", input = { "a" }, output = { "b" },
      invoke = function(job, asset)
        job:send({ class = "b", value = asset.value, key = "k/" .. asset.value,
          metadata = { list = { 1, 2 }, text = "t" } })
      end } })
    env.run(s, "a", { "x" })
    local asset = assert(s:asset("k/x"))
    assert.equal("b", asset.class)
    assert.equal("x", asset.value)
    assert.equal("a:x", asset.parent)
    assert.equal("keyed", asset.capability)
    assert.same({ list = { 1, 2 }, text = "t" }, asset.metadata)
  end)

  it("C-09 C-10 are registered by name, inputs and outputs; tasks by class, each once", function()
    assert(registry.register(echo("rowtask-b", "rowclass", "b", { priority = 7 })))
    assert(registry.register({ name = "rowtask-all", input = { "*", "rowclass" }, output = {},
      invoke = function() end }))
    local entry = assert(registry.get("rowtask-b"))
    assert.same({ "rowclass" }, entry.input)
    assert.same({ "b" }, entry.output)
    assert.same({ "rowtask-all", "rowtask-b" }, registry.target_tasks("rowclass"))
    assert.same({ "rowtask-all" }, registry.target_tasks("rowother"))
    assert(registry.unregister("rowtask-b"))
    assert(registry.unregister("rowtask-all"))
  end)

  it("C-11 C-12 an asset that is not stored starts nothing", function()
    local s = env.open({ echo("never-b", "a", "b") }, { scope = { "good*", "*.good" } })
    assert.equal("out_of_scope", s:dispatch({ class = "a", value = "bad" }))
    local outcome, err = s:dispatch({ class = "a", value = "" })
    assert.is_nil(outcome)
    assert.equal("INVALID", err:kind())
    assert.equal("queued", s:dispatch({ class = "a", value = "is.good" }))
    assert(s:wait("60s"))
    assert.same({ "is.good" }, env.values(s, "b"))
    assert.equal(1, assert(s:stats()).work_items_total)
  end)

  it("C-13 take their order from a priority computed for each asset", function()
    local s = env.open({ echo("ranked-b", "a", "b", {
      prioritize = function(asset) return asset.value:sub(1, 1) == "u" and 1 or 9 end,
    }) }, { start = false, concurrency = 1 })
    for i = 1, 20 do
      assert(s:dispatch({ class = "a", value = (i > 17 and "u" or "n") .. i }))
    end
    s:resume()
    assert(s:wait("60s"))
    local place = {}
    for asset in s:assets({ class = "b" }) do
      place[asset.value] = asset.id
    end
    for _, urgent in ipairs({ "u18", "u19", "u20" }) do
      assert.is_true(place[urgent] < place.n17)
    end
  end)
end)
