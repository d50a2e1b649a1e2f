--- `finish(ctx)`: what a capability does when a session ends.
-- SPDX-License-Identifier: MIT
local env = require("tests.support.session_env")
local events = require("events")
local time = require("time")

-- Tells who listens to "finish" what it was called with.
local function tell(ctx)
  local data = { session = ctx.session, word = ctx.options.word, reason = ctx.reason }
  require("events").send("finish", "called", ctx.session, data)
end

local function counter(finish, more)
  local declaration = {
    name = "counter",
    input = { "n" },
    output = { "m" },
    options = { word = { default = "none" } },
    invoke = function(job, asset)
      job:send({ class = "m", value = asset.value })
    end,
    finish = finish,
  }
  for key, value in pairs(more or {}) do
    declaration[key] = value
  end
  return declaration
end

describe("finish", function()
  local sub, calls

  before_each(function()
    sub = assert(events.subscribe("finish", "**"))
    calls = sub:channel()
  end)
  after_each(function()
    env.close_all()
    sub:close()
  end)

  -- All calls until now.
  local function called()
    events.send("finish", "mark", "mark")
    local list = {}
    for evt in calls:values() do
      if evt.kind == "mark" then return list end
      list[#list + 1] = evt.data
    end
  end

  it("is called when a session is closed, in each VM that worked for it", function()
    local s = env.open({ counter(tell) }, { name = "ends" })
    env.run(s, "n", { "1" })
    assert.same({}, called())
    s:close()
    assert.same({ { session = "ends", word = "none", reason = "finished" } }, called())
    s:close()
    assert.same({}, called())
  end)

  it("has run when close returns, also when it waits", function()
    local s = env.open({
      counter(function(ctx)
        require("time").sleep("50ms")
        require("events").send("finish", "called", ctx.session, { word = "slow" })
      end),
    })
    env.run(s, "n", { "1" })
    s:close()
    assert.same({ { word = "slow" } }, called())
  end)

  it("gets the options of its session", function()
    local one = env.open({ counter(tell) }, { options = { counter = { word = "hi" } } })
    env.run(one, "n", { "1" })
    one:close()
    assert.equal("hi", called()[1].word)
  end)

  it("is not called where it did nothing", function()
    local s = env.open({ counter(tell) })
    env.run(s, "other", { "1" })
    s:close()
    assert.same({}, called())
  end)

  it("is called once for each VM, however many jobs there were", function()
    local s = env.open({ counter(tell) })
    local values = {}
    for i = 1, 300 do
      values[i] = tostring(i)
    end
    env.run(s, "n", values)
    s:close()
    local count = #called()
    assert.is_true(count >= 1 and count < 300)
  end)

  it("sees what its VM's jobs have left", function()
    local sum = { count = 0 }
    local s = env.open({
      counter(function(ctx)
        require("events").send("finish", "called", ctx.session, { count = sum.count })
      end, {
        invoke = function()
          sum.count = sum.count + 1
        end,
      }),
    })
    env.run(s, "n", { "1", "2", "3", "4", "5" })
    s:close()
    local all = 0
    for _, data in ipairs(called()) do
      all = all + data.count
    end
    assert.equal(5, all)
  end)

  it("says how the session ended", function()
    local s = env.open({
      counter(tell, {
        invoke = function(job)
          require("events").send("finish", "runs", "x", { word = "runs" })
          while not job:canceled() do
            require("time").sleep("5ms")
          end
        end,
      }),
    }, { grace = "30s" })
    assert(s:dispatch({ class = "n", value = "1" }))
    assert.equal("runs", calls:receive("30s").kind)
    s:cancel("enough")
    s:close()
    assert.equal("stopped", called()[1].reason)
  end)

  it("is called at a deadline", function()
    for _, deadline in ipairs({ "200ms", "1s", "5s", "20s" }) do -- until a job began before it
      local s = env.open({
        counter(tell, {
          invoke = function(job)
            while not job:canceled() do
              require("time").sleep("5ms")
            end
          end,
        }),
      }, { deadline = deadline, grace = "30s" })
      s:dispatch({ class = "n", value = "1" })
      s:wait("60s")
      s:close()
      local list = called()
      if list[1] then return assert.equal("stopped", list[1].reason) end
    end
    error("no job began within 20 s")
  end)

  it("is called again when the session is resumed and ends again", function()
    local s = env.open({ counter(tell) }, { name = "twice" })
    env.run(s, "n", { "1" })
    s:close()
    assert.equal(1, #called())
    s = env.open({ counter(tell) }, { name = "twice" })
    env.run(s, "n", { "2" })
    s:close()
    assert.equal(1, #called())
  end)

  it("may fail, and the session ends all the same", function()
    local s = env.open({ counter(function()
      error("out of paper")
    end) })
    env.run(s, "n", { "1" })
    assert.is_true(s:close())
    assert.is_true(s:done())
  end)

  it("is given up when it does not return", function()
    local s = env.open({ counter(function()
      while true do
      end
    end) }, { grace = "200ms" })
    env.run(s, "n", { "1" })
    local from = time.monotonic()
    assert.is_true(s:close())
    assert.is_true(time.monotonic() - from < 30)
  end)

  it("is a function", function()
    local decl = counter(5)
    local ok, err = require("registry").register(decl)
    assert.is_nil(ok)
    assert.is_truthy(err:message():find("finish: expected a function, got 5", 1, true))
  end)
end)
