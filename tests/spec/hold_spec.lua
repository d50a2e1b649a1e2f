--- `job:hold`: "come back later", for all jobs of a rate key.
-- SPDX-License-Identifier: MIT
local env = require("tests.support.session_env")
local events = require("events")
local time = require("time")

describe("job:hold", function()
  local sub, runs

  before_each(function()
    sub = assert(events.subscribe("hold", "**"))
    runs = sub:channel()
  end)
  after_each(function()
    env.close_all()
    sub:close()
  end)

  local function seen()
    events.send("hold", "mark", "mark")
    local list = {}
    for evt in runs:values() do
      if evt.kind == "mark" then return list end
      list[#list + 1] = evt
    end
  end

  -- "a 1" holds its key when it runs first; a file remembers that it has.
  local function holding(path, more)
    return {
      name = "shy",
      input = { "n" },
      output = { "m" },
      options = { mark = { default = path }, hold = { default = 0.5 } },
      invoke = function(job, asset)
        local fs = require("fs")
        local key, number = asset.value:match("^(%S+) (%S+)$")
        local data = { number = number, at = require("time").monotonic() }
        require("events").send("hold", "runs", key, data)
        if number == "1" and key == "a" and not fs.stat(job.options.mark) then
          fs.write(job.options.mark, "x")
          job:hold(job.options.hold)
        end
        job:send({ class = "m", value = asset.value })
      end,
      max_instances = 1,
      rate_key = more,
    }
  end

  local function by_key(asset)
    return (asset.value:match("^(%S+)"))
  end

  local count = 0
  local function mark()
    count = count + 1
    local path = ("%s/rt-hold-%d-%d"):format(env.dir, math.random(1e9), count)
    return path
  end

  it("keeps back all jobs of its key, and no others", function()
    local s = env.open({ holding(mark(), by_key) })
    assert(s:dispatch({
      { class = "n", value = "a 1" },
      { class = "n", value = "a 2" },
      { class = "n", value = "b 1" },
      { class = "n", value = "a 3" },
      { class = "n", value = "b 2" },
    }))
    s:wait("60s")
    local list = seen()
    for i = 2, #list do
      local later = list[i].data.at - list[1].data.at
      assert.is_true(list[i].path == "b" or later >= 0.49, "run " .. i)
    end
    assert.equal(6, #list)
    assert.equal(5, #env.values(s, "m"))
    assert.equal(5, s:stats().work_items_completed)
  end)

  it("waits in the file, and why says for what", function()
    local s = env.open({ holding(mark(), by_key) }, { options = { shy = { hold = 3600 } } })
    assert(s:dispatch({ class = "n", value = "a 1" }))
    assert(runs:receive("30s")) -- one whose key is known sooner would go before it
    for i = 2, 50 do
      assert(s:dispatch({ class = "n", value = "a " .. i }))
    end
    assert(s:dispatch({ class = "n", value = "b 1" }))
    env.eventually(function()
      return env.values(s, "m")[1] == "b 1"
    end)
    local reason = env.eventually(function()
      local first = s:why().reasons[1]
      return first and first.what == "waits for its rate" and first.count == 50 and first
    end)
    assert.equal("shy", reason.capability)
  end)

  it("holds for every session of the runtime", function()
    local path = mark()
    local cap = holding(path, by_key)
    local registry = require("registry")
    assert(registry.register(cap))
    local one, two = env.open(nil), env.open(nil)
    assert(one:dispatch({ class = "n", value = "a 1" }))
    local first = assert(runs:receive("30s")).data.at
    -- Its one instance is taken until the key is held.
    assert(two:dispatch({ class = "n", value = "a 2" }))
    assert(one:wait("60s"))
    assert(two:wait("60s"))
    registry.unregister("shy")
    local list = seen()
    for i = 1, #list do
      assert.is_true(list[i].data.at - first >= 0.49, "run " .. i + 1)
    end
    assert.equal(2, #list)
  end)

  it("without a key holds the capability", function()
    local s = env.open({ holding(mark(), nil) })
    assert(s:dispatch({ { class = "n", value = "a 1" }, { class = "n", value = "b 1" } }))
    s:wait("60s")
    local list = seen()
    assert.equal(3, #list)
    for i = 2, 3 do
      assert.is_true(list[i].data.at - list[1].data.at >= 0.49, "run " .. i)
    end
  end)

  it("is as good after the session was resumed", function()
    for i, hold in ipairs({ 0.5, 3, 12 }) do -- until both were seen to wait within it
      local path, waited = mark(), false
      local opts = { name = "held" .. i, options = { shy = { hold = hold } } }
      local s = env.open({ holding(path, by_key) }, opts)
      assert(s:dispatch({ { class = "n", value = "a 1" }, { class = "n", value = "a 2" } }))
      env.eventually(function()
        local first = s:why().reasons[1]
        waited = first and first.what == "waits for its rate" and first.count == 2
        return waited or #env.values(s, "m") == 2
      end)
      s:close()
      s = env.open({ holding(path, by_key) }, opts)
      env.eventually(function()
        return #env.values(s, "m") == 2
      end)
      env.close_all()
      if waited then return end
    end
    error("they did not wait")
  end)

  it("holds after the session was opened again what was not asked for its key", function()
    local path = mark()
    local opts = { name = "kept", options = { shy = { hold = 3600 } } }
    local s = env.open({ holding(path, by_key) }, opts)
    assert(s:dispatch({ class = "n", value = "a 1" }))
    local function held(n)
      env.eventually(function()
        local first = s:why().reasons[1]
        return first and first.what == "waits for its rate" and first.count == n
      end)
    end
    held(1)
    assert(s:pause())
    for i = 2, 50 do
      assert(s:dispatch({ class = "n", value = "a " .. i }))
    end
    assert(s:dispatch({ class = "n", value = "b 1" }))
    s:close()
    s = env.open({ holding(path, by_key) }, opts)
    s:resume()
    held(50)
    env.eventually(function()
      return #env.values(s, "m") > 0
    end)
    assert.same({ "b 1" }, env.values(s, "m"))
  end)

  it("takes a time, too, and uses up no attempt", function()
    local s = env.open({
      {
        name = "later",
        input = { "n" },
        output = { "m" },
        options = { mark = { default = mark() } },
        invoke = function(job)
          local fs = require("fs")
          if not fs.stat(job.options.mark) then
            fs.write(job.options.mark, "x")
            job:hold({ at = require("time").now() + 0.2 })
          end
          job:send({ class = "m", value = "attempt " .. job.attempt })
        end,
      },
    })
    env.run(s, "n", { "1" })
    assert.same({ "attempt 1" }, env.values(s, "m"))
  end)

  it("refuses what is no time", function()
    local s = env.open({
      {
        name = "wrong",
        input = { "n" },
        output = { "m" },
        invoke = function(job)
          for _, value in ipairs({ true, "soon", {}, -1 }) do
            local ok = pcall(job.hold, job, value)
            if ok then error("taken: " .. tostring(value)) end
          end
        end,
      },
    })
    env.run(s, "n", { "1" })
    assert.equal(1, s:stats().work_items_completed)
    assert.equal(0, s:stats().failed)
    assert.is_true(time.now() > 0)
  end)

  it("refuses a time that is none", function()
    local s = env.open({
      {
        name = "lost",
        input = { "n" },
        output = {},
        invoke = function(job)
          job:hold({ at = 0 / 0 })
        end,
      },
    })
    assert(s:dispatch({ class = "n", value = "1" }))
    assert(s:wait("60s"))
    local job = env.job(s, { state = "failed" })
    local told = "bad argument .at. to .hold. %(unix time expected, got nan%)"
    assert.matches(told, job.errors[1].message)
  end)
end)
