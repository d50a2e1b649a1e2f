--- Rows of the dispatcher's inventory (A-..) that behave as they do there; the others are in
--- docs/departures.md. Each case names its rows.
local env = require("session_env")
local events = require("events")
local registry = require("registry")
local session = require("session")

local function take(sub, count)
  local list, ch = {}, sub:channel()
  for i = 1, count do
    list[i] = assert(ch:receive("30s"))
  end
  return list
end

local function echo(name, input, output)
  return {
    name = name,
    input = { input },
    output = { output },
    options = { to = { default = output } },
    invoke = function(job, asset) job:send({ class = job.options.to, value = asset.value }) end,
  }
end

describe("the dispatcher", function()
  after_each(env.close_all)

  it("A-01 A-53 A-55 is one for all sessions, there at once, and found by name", function()
    local one, two = env.open({ echo("one", "a", "b") }), env.open({ echo("two", "a", "c") })
    assert.equal("queued", (one:dispatch({ class = "a", value = "x" })))
    assert.equal("queued", (two:dispatch({ class = "a", value = "y" })))
    assert(one:wait("60s"))
    assert(two:wait("60s"))
    assert.same({ "x" }, env.values(one, "b"))
    assert.same({ "y" }, env.values(two, "c"))
    local names = {}
    for _, entry in ipairs(session.list(env.dir)) do
      names[entry.name] = true
    end
    assert.is_true(names[one:name()] and names[two:name()])
  end)

  it("A-05 its events carry the meta that was given with an asset", function()
    local found = assert(events.subscribe("session", "asset.discovered"))
    local s = env.open({ echo("marked", "a", "b") })
    local meta = { verified = true, by = { "mail" } }
    assert.equal("started", (s:dispatch({ class = "a", value = "x" }, { meta = meta })))
    assert.equal("started", (s:dispatch({ class = "a", value = "y" }, { meta = true })))
    assert.equal("queued", (s:dispatch({ class = "a", value = "z" }, { meta = false })))
    assert(s:wait("60s"))
    local given = {}
    for _, event in ipairs(take(found, 6)) do
      given[event.path:match("/(.*)")] = event.data.meta
    end
    assert.same({ ["a:x"] = meta, ["a:y"] = true }, given)
    local ok, err = s:dispatch({ class = "a", value = "q" }, { meta = { fn = print } })
    assert.is_nil(ok)
    assert.equal("INVALID", err:kind())
    assert.matches("meta.fn", tostring(err))
    found:close()
  end)

  it("A-05 A-18 an event carries the name that was given with it", function()
    local found = assert(events.subscribe("session", "asset.discovered"))
    local queued = assert(events.subscribe("session", "job.queued"))
    local s = env.open({ echo("named", "a", "b") })
    assert(s:dispatch({ class = "a", value = "x" }, { name = "seed - x" }))
    assert(s:dispatch({ class = "a", value = "y" }))
    assert(s:wait("60s"))
    local name = {}
    for _, event in ipairs(take(found, 4)) do
      name[event.path:match("/(.*)")] = event.data.name or false
    end
    assert.same({ ["a:x"] = "seed - x", ["a:y"] = false, ["b:x"] = false, ["b:y"] = false }, name)
    assert.equal("seed - x", take(queued, 1)[1].data.name)
    assert.has_error(function() s:dispatch({ class = "a", value = "z" }, { name = 5 }) end)
    found:close()
    queued:close()
  end)

  it("A-09 A-14 counts what was appended, once, and what was completed", function()
    local s = env.open({ echo("left", "a", "b"), echo("right", "a", "b") }, { start = false })
    assert.equal("queued", (s:dispatch({ class = "a", value = "x" })))
    assert.equal("duplicate", (s:dispatch({ class = "a", value = "x" })))
    local stats = assert(s:stats())
    assert.equal(2, stats.work_items_total)
    assert.equal(0, stats.work_items_completed)
    s:resume()
    stats = assert(s:wait("60s"))
    assert.equal(2, stats.work_items_total)
    assert.equal(2, stats.work_items_completed)
  end)

  it("A-22 A-23 works on a class in order of creation, past what is not there", function()
    local s = env.open({ echo("order", "a", "b") }, { start = false, concurrency = 1 })
    local want = {}
    for i = 1, 20 do
      assert(s:dispatch({ class = "a", value = ("%02d"):format(i) }))
      if i ~= 3 then want[#want + 1] = ("%02d"):format(i) end
    end
    assert.is_true(s.queue:delete({ class = "a", value = "03" }))
    s:resume()
    assert(s:wait("60s"))
    local got = {}
    for asset in s:assets({ class = "b" }) do
      got[#got + 1] = asset.value
    end
    assert.same(want, got)
  end)

  it("A-29 A-30 processed knows no unknown, what was deleted may come again", function()
    local s = env.open({ echo("again", "a", "b") }, { start = false })
    local asset = { class = "a", value = "x" }
    assert.is_true(s.queue:processed({ class = "a", value = "never" }))
    assert.is_true(s.queue:append(asset))
    assert.is_true(s.queue:delete(asset))
    assert.is_false(s.queue:has(asset))
    assert.is_true(s.queue:append(asset))
    assert.is_true(s.queue:has(asset))
  end)

  it("A-33 A-35 A-45 knows a handler and who takes a class; priorities are clamped", function()
    for name, priority in pairs({ none = 0, below = -3, above = 12 }) do
      local cap = echo("rows-" .. name, "rows-class", "b")
      cap.priority, cap.max_instances = priority, 3
      assert(registry.register(cap))
    end
    local function priority(name) return assert(registry.get("rows-" .. name)).priority end
    assert.same({ 5, 1, 9 }, { priority("none"), priority("below"), priority("above") })
    local one = assert(registry.get("rows-none"))
    assert.equal(3, one.max_instances)
    assert.same({ "rows-class" }, one.input)
    assert.same({ "b" }, one.output)
    local names = registry.target_tasks("rows-class")
    assert.same({ "rows-below", "rows-none", "rows-above" }, names)
    for _, name in ipairs(names) do
      assert(registry.unregister(name))
    end
    assert.same({}, registry.target_tasks("rows-class"))
  end)

  it("A-41 later stages run after a failure, and are told of it", function()
    local s = env.open({
      { name = "fails", input = { "a" }, output = {}, priority = 2, invoke = function()
        error(errors.new({ message = "no luck", kind = "UNAVAILABLE" }))
      end },
      { name = "works", input = { "a" }, output = {}, priority = 2, invoke = function() end },
      { name = "later", input = { "a" }, output = { "told" }, priority = 8, invoke = function(job)
        assert(#job.errors == 1)
        local e = job.errors[1]
        job:send({ class = "told", value = ("%s %s %s"):format(e.capability, e.kind, e.message) })
      end },
      { name = "first", input = { "a" }, output = { "count" }, priority = 1, invoke = function(job)
        job:send({ class = "count", value = tostring(#job.errors) })
      end },
    })
    local stats = env.run(s, "a", { "x" })
    assert.equal(1, stats.failed)
    assert.same({ "0" }, env.values(s, "count"))
    local told = env.values(s, "told")
    assert.equal(1, #told)
    assert.truthy(told[1]:match("^fails UNAVAILABLE .*no luck"))
  end)

  it("A-49 goes on after errors", function()
    local s = env.open({ echo("errors", "a", "b") })
    local ok, err = s:dispatch({ class = "no class", value = "x" })
    assert.is_nil(ok)
    assert.equal("INVALID", err:kind())
    assert.is_nil((s:dispatch({ class = "a" })))
    assert.is_nil((s.queue:append({ value = "x" })))
    env.run(s, "a", { "y" })
    assert.same({ "y" }, env.values(s, "b"))
  end)

  it("A-59 what a job logs can be subscribed to, in order", function()
    local lines = assert(events.subscribe("session", "job.log"))
    local s = env.open({ { name = "talks", input = { "a" }, output = {}, invoke = function(job)
      for i = 1, 3 do
        job:log("debug", "line " .. i, { n = i })
      end
    end } })
    env.run(s, "a", { "x" })
    for i, event in ipairs(take(lines, 3)) do
      assert.equal(s:name() .. "/a:x", event.path)
      assert.same({ "debug", "line " .. i, i, "talks" }, {
        event.data.level, event.data.message, event.data.fields.n, event.data.fields.capability,
      })
    end
    lines:close()
  end)
end)
