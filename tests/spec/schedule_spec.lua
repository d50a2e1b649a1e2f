--- `every`: capabilities that run at their times.
-- SPDX-License-Identifier: MIT
local env = require("tests.support.session_env")
local registry = require("registry")

local function clockwork(more)
  local declaration = {
    name = "clockwork",
    every = "20ms",
    output = { "beat" },
    invoke = function(job, asset)
      job:send({ class = "beat", value = asset.value })
    end,
  }
  for key, value in pairs(more or {}) do
    declaration[key] = value
  end
  return declaration
end

describe("a scheduled capability", function()
  after_each(env.close_all)

  it("runs again and again, without any seed", function()
    local s = env.open({ clockwork() })
    env.eventually(function()
      return #env.values(s, "beat") >= 5
    end)
    local beat = env.values(s, "beat")[1]
    assert.is_truthy(beat:find("^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d[%d.]*Z$"), beat)
    local chain = s:explain("beat:" .. beat)
    assert.equal("tick.clockwork:" .. beat, chain[1].key)
    assert.equal("clockwork", chain[2].capability)
  end)

  it("keeps its session open, and why tells the next time", function()
    local s = env.open({ clockwork({ every = "1h" }) })
    env.eventually(function()
      return s:stats().work_items_completed == 1
    end)
    local _, err = s:wait("50ms")
    assert.equal("TIMEOUT", err:kind())
    local reason = s:why().reasons[1]
    assert.equal("clockwork", reason.capability)
    assert.is_true(reason.due > require("time").now() + 3000)
  end)

  it("stops with its session", function()
    local s = env.open({ clockwork() })
    env.eventually(function()
      return #env.values(s, "beat") >= 1
    end)
    s:cancel("enough")
    local count = #env.values(s, "beat")
    require("time").sleep("100ms")
    assert.equal(count, #env.values(s, "beat"))
  end)

  it("is not started twice at once", function()
    local s = env.open({
      clockwork({
        invoke = function(job)
          while not job:canceled() do
            require("time").sleep("5ms")
          end
        end,
      }),
    })
    env.eventually(function()
      return s:stats().running == 1
    end)
    require("time").sleep("200ms")
    assert.equal(1, #env.list(s:jobs({ capability = "clockwork" })))
  end)

  it("makes up for one missed time only, when its session is resumed", function()
    local s = env.open({ clockwork({ every = "300ms" }) }, { name = "missed" })
    env.eventually(function()
      return #env.values(s, "beat") >= 1
    end)
    s:close()
    -- With those whose time had come, if one was cut short.
    local before = #env.values(s, "beat") + #env.list(s:jobs({ state = "queued" }))
    require("time").sleep("1s")
    s = env.open({ clockwork({ every = "1h" }) }, { name = "missed" })
    env.eventually(function()
      return #env.values(s, "beat") > before
    end)
    assert.equal(before + 1, #env.values(s, "beat"))
  end)

  it("goes on where it was, when its session is resumed", function()
    local s = env.open({ clockwork({ every = "1h" }) }, { name = "later" })
    local function due()
      local reason = s:why().reasons[1]
      return reason and reason.due
    end
    env.eventually(function()
      return s:stats().work_items_completed == 1
    end)
    local before = env.eventually(due)
    s:close()
    s = env.open({ clockwork({ every = "1h" }) }, { name = "later" })
    assert.equal(before, env.eventually(due))
    assert.equal(1, #env.values(s, "beat"))
  end)

  it("may take assets besides", function()
    local s = env.open({ clockwork({ every = "1h", input = { "n" } }) })
    assert(s:dispatch({ class = "n", value = "one" }))
    env.eventually(function()
      return #env.values(s, "beat") == 2
    end)
    assert.is_truthy(table.concat(env.values(s, "beat"), " "):find("one", 1, true))
  end)

  it("is the only one that takes its ticks, whatever the scope", function()
    local s = env.open({
      clockwork(),
      {
        name = "all",
        input = { "**" },
        output = { "seen" },
        invoke = function(job, asset)
          job:send({ class = "seen", value = asset.class })
        end,
      },
    }, { scope = { "10.0.0.0/8", "beat:**", "seen:**" } })
    env.eventually(function()
      return #env.values(s, "beat") >= 3
    end)
    for _, class in ipairs(env.values(s, "seen")) do
      assert.is_nil(class:find("tick", 1, true))
    end
  end)

  it("ends when it is unregistered", function()
    assert(registry.register(clockwork({ name = "goes" })))
    local s = env.open(nil)
    env.eventually(function()
      return #env.values(s, "beat") >= 1
    end)
    assert(registry.unregister("goes"))
    assert(s:wait("30s"))
  end)

  it("takes a cron expression", function()
    local s = env.open({ clockwork({ every = "0 0 1 1 *" }) })
    local due = env.eventually(function()
      local reason = s:why().reasons[1]
      return reason and reason.due
    end)
    assert.equal("01-01 00:00", os.date("!%m-%d %H:%M", due))
    assert.equal(0, #env.values(s, "beat"))
    assert.equal("0 0 1 1 *", registry.get("clockwork").every)
  end)

  for _, case in ipairs({
    { "1 x", "every: expected a cron expression, five fields" },
    { "61 * * * *", "a cron expression, minute: expected *, a number from 0 to 59" },
    { "0 0 30 2 *", "a date that exists" },
    { "soon", 'every: expected a duration of 10 ms or more such as "1h", or a cron' },
    { 0, "every: expected a duration of 10 ms or more" },
    { -1, "every: expected a duration of 10 ms or more" },
    { true, "every: expected a duration" },
    { {}, "every: expected a duration" },
  }) do
    it("refuses every = " .. tostring(case[1]), function()
      local ok, err = registry.register(clockwork({ every = case[1] }))
      assert.is_nil(ok)
      assert.equal("INVALID", err:kind())
      assert.is_truthy(err:message():find(case[2], 1, true), err:message())
    end)
  end

  it("without times needs inputs", function()
    local raw = clockwork()
    raw.every = nil
    local _, err = registry.register(raw)
    assert.is_truthy(err:message():find("input: missing", 1, true))
    raw.input = {}
    _, err = registry.register(raw)
    assert.is_truthy(err:message():find("at least one class", 1, true))
  end)
end)
