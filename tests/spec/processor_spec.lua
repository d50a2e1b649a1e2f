--- What becomes of an asset: it is stored, then a job for each capability that takes it; each in
--- its order, each by itself, and each knows where it comes from.
-- SPDX-License-Identifier: MIT
local env = require("session_env")
local registry = require("registry")

local function nothing() end

describe("an asset", function()
  after_each(env.close_all)

  it("is stored before its jobs begin, with a job for each capability", function()
    local caps = { { name = "other", input = { "x" }, invoke = nothing } }
    for i = 1, 5 do
      caps[#caps + 1] = { name = "take" .. i, input = { i == 5 and "*" or "n" },
        output = { "seen" }, invoke = function(job, asset)
          -- In the file already, with this very job: another connection sees it.
          local report = require("exec").run(require("fs").realpath("/proc/self/exe"),
            { "why", job.session, job.capability, asset.key, "--data", job.options.data, "--json" },
            { timeout = "60s" })
          local why = require("json").decode(assert(report).stdout)
          job:send({ class = "seen", value = job.capability .. " " .. why.cause })
        end, options = { data = { default = env.dir } } }
    end
    caps[6].match = function(asset) return asset.class == "n" end
    local s = env.open(caps, { name = "stored" })
    env.run(s, "n", { "1" })
    assert.same({ "take1 running", "take2 running", "take3 running", "take4 running",
      "take5 running" }, env.values(s, "seen"))
    assert.equal(5, #env.list(s:jobs({ state = "completed" })))
  end)

  it("has the other jobs also when one cannot be begun", function()
    local caps = {
      { name = "raises", input = { "n" }, invoke = nothing, match = function() error("odd") end },
      { name = "waits", input = { "n" }, invoke = nothing, rate = 9, rate_key = function()
        require("time").sleep(1)
        return "key"
      end },
      { name = "wrong", input = { "n" }, invoke = nothing,
        prioritize = function() return "high" end },
      { name = "absent", input = { "n" }, invoke = nothing, setup = function() return false end },
      { name = "fine", input = { "n" }, output = { "m" }, priority = 9,
        invoke = function(job, asset) job:send({ class = "m", value = asset.value }) end },
    }
    local s = env.open(caps)
    env.run(s, "n", { "1", "2", "3" })
    assert.same({ "1", "2", "3" }, env.values(s, "m"))
    assert.equal(12, s:stats().skipped)
  end)

  -- Jobs in the order they ran: one instance, all queued before the first starts.
  local function order_of(caps, values)
    local s = env.open(caps, { start = false, concurrency = 1 })
    for _, value in ipairs(values) do
      assert(s:dispatch({ class = "n", value = value }))
    end
    s:resume()
    assert(s:wait("60s"))
    local order = {}
    for asset in s:assets({ class = "did" }) do
      order[#order + 1] = asset.value
    end
    env.close_all()
    return order
  end

  local function did(name, more)
    local cap = { name = name, input = { "n" }, output = { "did" }, invoke = function(job, asset)
      job:send({ class = "did", value = job.capability .. asset.value })
    end }
    for key, value in pairs(more or {}) do cap[key] = value end
    return cap
  end

  it("goes to capabilities by priority, then by registration, then by age", function()
    assert.same({ "b1", "b2", "c1", "c2", "a1", "a2" },
      order_of({ did("a", { priority = 7 }), did("b", { priority = 1 }), did("c") }, { "1", "2" }))
    assert(registry.register(did("z")))
    assert(registry.register(did("y")))
    assert.same({ "z", "y" }, registry.target_tasks("n"))
    registry.unregister("z")
    registry.unregister("y")
  end)

  it("has the priority that prioritize gives it", function()
    assert.same({ "a1", "a5", "a9" },
      order_of({ did("a", { prioritize = function(asset) return tonumber(asset.value) end }) },
        { "9", "5", "1" }))
    -- Without an answer it is the capability's; beyond 1 to 9 it is clamped.
    assert.same({ "a-4", "a0", "a40" },
      order_of({ did("a", { priority = 5, prioritize = function(asset)
        local number = tonumber(asset.value)
        return number ~= 0 and number or nil
      end }) }, { "40", "0", "-4" }))
  end)

  it("knows its parent, depth, root and the way it came", function()
    local s = env.open({
      { name = "down", input = { "n" }, output = { "n", "leaf" }, invoke = function(job, asset)
        if #asset.value < 4 then
          job:send({ class = "n", value = asset.value .. "x" })
        else
          job:send({ class = "leaf", value = asset.value })
        end
      end },
      { name = "tell", input = { "leaf" }, output = { "told" }, invoke = function(job, asset)
        local words = { asset.parent, asset.depth, job.target }
        job:send({ class = "told", value = table.concat(words, " ") })
      end },
    }, { name = "lineage-of" })
    env.run(s, "n", { "a", "b" })
    assert.same({ "n:axxx 4 leaf:axxx", "n:bxxx 4 leaf:bxxx" }, env.values(s, "told"))
    local leaf = assert(s:asset("leaf:bxxx"))
    assert.equal("n:bxxx", leaf.parent)
    assert.equal(4, leaf.depth)
    assert.equal("down", leaf.capability)
    local keys = {}
    for i, link in ipairs(assert(s:explain("leaf:bxxx"))) do keys[i] = link.key end
    assert.same({ "n:b", "n:bx", "n:bxx", "n:bxxx", "leaf:bxxx" }, keys)
    -- Whose descendant it is: the budget of the other seed is not touched.
    local t = env.open({ { name = "down2", input = { "n" }, output = { "n" },
      invoke = function(job, asset) job:send({ class = "n", value = asset.value .. "x" }) end } },
      { limits = { descendants = 3 } })
    env.run(t, "n", { "a", "b" })
    assert.same({ "a", "ax", "axx", "axxx", "b", "bx", "bxx", "bxxx" }, env.values(t, "n"))
    for job in t:jobs() do
      assert.matches("^n:[ab]x*$", job.target)
    end
  end)
end)
