--- Each budget: what it keeps out is stored with the reason and the way it came, told on the bus,
--- and counted. Floods: tests/cli/budgets.sh.
-- SPDX-License-Identifier: MIT
local env = require("session_env")
local events = require("events")

local caps = {
  { name = "grow", input = { "n" }, output = { "n" }, invoke = function(job, asset)
    job:send({ class = "n", value = asset.value .. "x" })
  end },
  { name = "ping", input = { "a" }, output = { "b" }, invoke = function(job, asset)
    job:send({ class = "b", value = asset.value .. "1" })
  end },
  { name = "pong", input = { "b" }, output = { "a" }, invoke = function(job, asset)
    job:send({ class = "a", value = asset.value .. "2" })
  end },
  { name = "wide", input = { "w" }, output = { "leaf" }, invoke = function(job)
    for i = 1, 5 do
      job:send({ class = "leaf", value = tostring(i) })
    end
  end },
}

-- The budget, seed, limits, whose result is refused, how many assets there are, the words.
local rows = {
  { budget = "depth", seed = "n:1", limits = { depth = 3 }, by = "grow", assets = 4,
    words = "^depth 4 is over the limit of 3" },
  { budget = "assets", seed = "n:1", limits = { assets = 3 }, by = "grow",
    assets = 3, words = "^assets: the session has its 3" },
  { budget = "fanout", seed = "w:1", limits = { fanout = 4 }, by = "wide",
    assets = 5, words = "^fanout: the job has sent its 4" },
  { budget = "descendants", seed = "n:1", limits = { descendants = 4 },
    by = "grow", assets = 5, words = "^descendants: the seed has its 4" },
  { budget = "repeats", seed = "n:1", limits = { repeats = 2 }, by = "grow",
    assets = 3, words = "^repeats: grow is on the way from the seed more than 2" },
  -- Two that feed each other for ever.
  { budget = "repeats", seed = "a:1", limits = { repeats = 2 }, by = "ping", assets = 5,
    words = "^repeats: ping is on the way" },
  { budget = "depth", seed = "a:1", limits = { depth = 6 },
    by = "ping", assets = 7, words = "^depth 7" },
}

describe("a budget", function()
  after_each(env.close_all)

  for _, row in ipairs(rows) do
    it(row.budget .. " on " .. row.seed .. ": stored, told and counted", function()
      local sub = assert(events.subscribe("session", "asset.rejected"))
      local s = env.open(caps, { limits = row.limits })
      local class, value = row.seed:match("(.*):(.*)")
      local stats = env.run(s, class, { value })
      assert.same({ [row.budget] = 1 }, stats.rejections)
      assert.equal(row.assets, #env.list(s:assets()))
      local event = assert(sub:channel():receive("30s"))
      sub:close()
      assert.matches(row.words, event.data.reason)
      local key = event.path:match("/(.*)$")
      -- From the tables: the words, and the way from the seed over who sent it.
      local answer = assert(s:why_not(row.by, key))
      assert.equal(row.budget, answer.cause)
      assert.equal("rejected", answer.state)
      assert.matches(row.words, answer.reason)
      local by, parent = answer.answer:match("found by (%S+) on (%S+), but not taken")
      assert.equal(row.by, by)
      assert.equal(row.seed, s:explain(parent)[1].key)
    end)
  end

  it("deadline ends a session with what it has, and the words say so", function()
    local sub = assert(events.subscribe("session", "session.canceled"))
    local s = env.open({ { name = "grow", input = { "n" }, output = { "n" }, max_instances = 1,
      invoke = function(job, asset)
        require("time").sleep(0.01)
        job:send({ class = "n", value = tostring(tonumber(asset.value) + 1) })
      end } }, { deadline = "500ms", grace = "100ms" })
    s:dispatch({ class = "n", value = "1" })
    local summary, err = s:wait("60s")
    assert.is_nil(summary)
    assert.matches("deadline", err:message())
    local event = assert(sub:channel():receive("30s"))
    assert.equal("deadline", event.data.reason)
    sub:close()
    local open = env.list(s:jobs({ state = "queued" }))
    assert.is_true(#open <= 1) -- resumable: nothing was given up
  end)
end)
