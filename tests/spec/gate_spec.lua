--- What is asked of Lua before a job may run: match, rate_key and prioritize. They may not wait,
-- have a second, and what they turn away takes no rate and no instance.
local env = require("session_env")
local time = require("time")

-- A name is taken while a session has brought it along: one session at a time.
local function open(extra)
  env.close_all()
  local all = { name = "gated", input = { "in" }, output = { "out" } }
  all.invoke = function(job, asset) job:send({ class = "out", value = asset.value }) end
  for key, value in pairs(extra) do
    all[key] = value
  end
  return env.open({ all })
end

local function skip_reason(extra)
  local s = open(extra)
  env.run(s, "in", { "1" })
  assert.same({}, env.values(s, "out"))
  return env.job(s, { state = "skipped" }).reason
end

-- Lua functions of a capability are copied: what differs is given as source.
local gates = {
  match = {
    waits = function() time.sleep(0.01) return true end,
    loops = function() while true do end end,
    raises = function() error("odd asset") end,
    catches = function() repeat until not pcall(function() while true do end end) return true end,
  },
  rate_key = {
    waits = function() time.sleep(0.01) return "key" end,
    loops = function() while true do end end,
    raises = function() error("odd asset") end,
    catches = function() repeat until not pcall(function() while true do end end) return "key" end,
  },
  prioritize = {
    waits = function() time.sleep(0.01) return 3 end,
    loops = function() while true do end end,
    raises = function() error("odd asset") end,
    catches = function() repeat until not pcall(function() while true do end end) return 3 end,
  },
}

for name, gate in pairs(gates) do
  describe(name, function()
    after_each(env.close_all)

    local function with(fn)
      return { [name] = fn, rate = 1000, max_instances = 3 }
    end

    it("may not wait", function()
      assert.matches("may not wait", skip_reason(with(gate.waits)))
    end)

    it("has a second", function()
      assert.matches("longer than 1 s", skip_reason(with(gate.loops)))
    end)

    it("has no more when it catches errors", function()
      assert.matches("longer than 1 s", skip_reason(with(gate.catches)))
    end)

    it("skips its job when it raises", function()
      assert.matches("odd asset", skip_reason(with(gate.raises)))
    end)
  end)
end

describe("what match turns away", function()
  after_each(env.close_all)

  it("needs no instance", function()
    local s = open({
      max_instances = 1,
      match = function(asset) return asset.value == "held", "not this one" end,
      invoke = function(job)
        while not job:canceled() do
          require("time").sleep(0.01)
        end
      end,
    })
    assert(s:dispatch({ class = "in", value = "held" }))
    env.eventually(function() return s:stats().running == 1 end)
    for i = 1, 30 do
      assert(s:dispatch({ class = "in", value = "no" .. i }))
    end
    env.eventually(function() return s:stats().skipped == 30 end)
    assert.equal(1, s:stats().running)
    assert(s:cancel("enough"))
  end)

  it("takes no rate", function()
    -- One in a thousand seconds: with the first token gone nothing else would run for long.
    local s = open({
      rate = 0.001,
      match = function(asset) return asset.value == "yes", "not this one" end,
    })
    for i = 1, 30 do
      assert(s:dispatch({ class = "in", value = "no" .. i }))
    end
    env.eventually(function() return s:stats().skipped == 30 end)
    assert(s:dispatch({ class = "in", value = "yes" }))
    env.eventually(function() return s:asset("out:yes") end)
  end)
end)
