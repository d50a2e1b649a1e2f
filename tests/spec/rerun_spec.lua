--- Capabilities that run again: rules, merges, versions, events as inputs, bounds.
-- SPDX-License-Identifier: MIT
local events = require("events")
local kit = require("tests.support.session_env")
local registry = require("registry")

local function capability(fields)
  fields.invoke = fields.invoke or function() end
  return fields
end

--- Capabilities keep nothing between runs; what they find is in a file.
local function note(path, text)
  local f = assert(io.open(path, "w"))
  f:write(text)
  f:close()
end

-- Lists what stands in the file that its asset names: "name=size ...".
local function lister(fields)
  fields.input, fields.output = { "dir" }, { "file" }
  fields.name = fields.name or "list"
  fields.invoke = function(job, asset)
    local f = assert(io.open(asset.value))
    local text = f:read("*a")
    f:close()
    for name, size in text:gmatch("(%w+)=(%w+)") do
      job:send({ class = "file", value = name, metadata = { size = size } })
    end
  end
  return fields
end

local function states(s)
  local all = {}
  for job in s:jobs() do
    all[#all + 1] = job.capability .. " " .. job.target .. " " .. job.state
  end
  return all
end

describe("rerun", function()
  local path
  before_each(function()
    require("fs").mkdir(kit.dir)
    path = kit.dir .. "/listing"
  end)
  after_each(kit.close_all)

  describe("in a declaration", function()
    for _, value in ipairs({ "once", "on_change", "always", "after:24h", "after:.5s" }) do
      it("takes " .. value, function()
        assert(registry.register(capability({ name = "r", input = { "x" }, rerun = value })))
        assert.equal(value, registry.get("r").rerun)
        assert(registry.unregister("r"))
      end)
    end
    for _, value in ipairs({ "twice", "after:", "after:0s", "after:-1s", "after:soon", "", 5 }) do
      it(("refuses %s"):format(tostring(value)), function()
        local ok, err =
          registry.register(capability({ name = "r", input = { "x" }, rerun = value }))
        assert.is_nil(ok)
        assert.equal("INVALID", err:kind())
        assert.matches("rerun: expected", err:message(), 1, true)
        assert.matches("after:24h", err:message(), 1, true)
      end)
    end
    it("takes events as inputs, and refuses unknown ones", function()
      local cap = capability({ name = "r", input = { "asset.gone", "asset.changed:(a|b)" } })
      assert(registry.register(cap))
      assert.same({ "r" }, registry.target_tasks("asset.gone:x"))
      assert.same({ "r" }, registry.target_tasks("asset.changed:b"))
      assert.same({}, registry.target_tasks("asset.changed:c"))
      assert.same({}, registry.target_tasks("x"))
      assert(registry.unregister("r"))
      local ok, err = registry.register(capability({ name = "r", input = { "asset.lost:x" } }))
      assert.is_nil(ok)
      assert.matches("input: expected", err:message(), 1, true)
    end)
    it("leaves events to those that name them", function()
      assert(registry.register(capability({ name = "r", input = { "**" } })))
      assert.same({}, registry.target_tasks("asset.gone:x"))
      assert.same({ "r" }, registry.target_tasks("x"))
      assert(registry.unregister("r"))
    end)
  end)

  it("once: not again, whatever happens", function()
    local s = kit.open({ capability({ name = "c", input = { "x" } }) })
    kit.run(s, "x", { "1" })
    kit.run(s, "x", { "1" })
    assert(s:dispatch({ class = "x", value = "1", metadata = { a = 1 } }))
    local stats = assert(s:wait("60s"))
    assert.equal(0, stats.reruns)
    assert.equal(1, stats.work_items_completed)
  end)

  it("always: with every dispatch of the asset, once in a run otherwise", function()
    local s = kit.open({
      capability({ name = "c", input = { "x" }, rerun = "always" }),
      capability({ name = "d", input = { "x" } }),
    })
    kit.run(s, "x", { "1", "2" })
    assert.equal(0, s:stats().reruns)
    kit.run(s, "x", { "1" })
    assert.equal(1, s:stats().reruns)
    assert.same({
      "c x:1 completed", "d x:1 completed", "c x:2 completed", "d x:2 completed",
    }, states(s))
  end)

  it("after: when it is seeded again later than that, not before", function()
    local s = kit.open({
      capability({ name = "soon", input = { "x" }, rerun = "after:1ms" }),
      capability({ name = "late", input = { "x" }, rerun = "after:24h" }),
    })
    kit.run(s, "x", { "1" })
    require("time").sleep("5ms")
    kit.run(s, "x", { "1" })
    assert.equal(1, s:stats().reruns)
    local answer = s:why_not("late", "x:1").answer
    assert.matches("late: completed; ended at .* UTC, runs again after", answer)
  end)

  it("runs what is stale when the session is opened again, and stages in their order", function()
    local function caps()
      return {
        capability({ name = "second", input = { "x" }, rerun = "always", priority = 7 }),
        capability({ name = "first", input = { "x" }, rerun = "always", priority = 2 }),
        capability({ name = "other", input = { "x" } }),
      }
    end
    local s = kit.open(caps(), { name = "stale" })
    kit.run(s, "x", { "1", "2", "3" })
    s:close()
    local seen = {}
    local sub = assert(events.subscribe("session", "job.started"))
    s = kit.open(caps(), { name = "stale" })
    local stats = assert(s:wait("60s"))
    assert.equal(6, stats.reruns)
    assert.equal(9, stats.work_items_completed)
    assert.equal(0, stats.queued)
    for _ = 1, 6 do
      local evt = assert(sub:channel():receive("30s"))
      local key = evt.path:match("/(.*)$")
      seen[key] = (seen[key] or "") .. evt.data.capability .. " "
    end
    sub:close()
    assert.same(
      { ["x:1"] = "first second ", ["x:2"] = "first second ", ["x:3"] = "first second " }, seen)
  end)

  it("counts from when the asset was found where a rule is new", function()
    local s = kit.open({ capability({ name = "c", input = { "x" } }) }, { name = "rule" })
    kit.run(s, "x", { "1", "2" })
    s:close()
    local late = capability({ name = "c", input = { "x" }, rerun = "after:24h" })
    s = kit.open({ late }, { name = "rule" })
    assert.equal(0, assert(s:wait("60s")).reruns)
    s:close()
    local always = capability({ name = "c", input = { "x" }, rerun = "always" })
    s = kit.open({ always }, { name = "rule" })
    assert.equal(2, assert(s:wait("60s")).reruns)
    s:close()
    s = kit.open({ capability({ name = "c", input = { "x" } }) }, { name = "rule" })
    assert.equal(0, assert(s:wait("60s")).reruns)
  end)

  describe("metadata", function()
    local function merged(finds)
      local s = kit.open({})
      for _, metadata in ipairs(finds) do
        assert(s:dispatch({ class = "x", value = "1", metadata = metadata }))
      end
      local asset = s:asset("x:1")
      s:close()
      return asset
    end
    local finds = {
      { a = 1, s = "b", t = { 1, 2 } },
      { b = true, s = "a", t = { 3 } },
      { a = 2, b = false, t = { 1, 3 }, m = { z = 1 } },
      { m = { y = 1, z = 0 }, a = "text" },
    }
    it("merges by key, the same in each order", function()
      local expected = { a = "text", b = true, s = "b", t = { 1, 3 }, m = { y = 1, z = 0 } }
      for _, order in ipairs({ { 1, 2, 3, 4 }, { 4, 3, 2, 1 }, { 2, 4, 1, 3 }, { 3, 1, 4, 2 } }) do
        local s, list = kit.open({}), {}
        for i, at in ipairs(order) do -- one dispatch of a list is one run
          list[i] = { class = "x", value = "1", metadata = finds[at] }
        end
        assert(s:dispatch(list))
        assert.same(expected, s:asset("x:1").metadata)
        s:close()
      end
    end)
    it("of a later run replaces that of earlier ones, and stays where it is silent", function()
      local s = kit.open({})
      for _, metadata in ipairs({ { a = 9, b = 1 }, { a = 1 }, {}, { c = "x" } }) do
        assert(s:dispatch({ class = "x", value = "1", metadata = metadata }))
        assert(s:wait("60s"))
      end
      local asset = s:asset("x:1")
      assert.same({ a = 1, b = 1, c = "x" }, asset.metadata)
      assert.equal(3, asset.version)
      assert.is_true(asset.last_seen >= asset.first_seen)
    end)
    it("that stays the same changes nothing", function()
      local asset = merged({ { a = { b = 1 } }, { a = { b = 1 } }, {} })
      assert.equal(1, asset.version)
    end)
    it("tells a change on the bus", function()
      local sub = assert(events.subscribe("session", "asset.updated"))
      local s = kit.open({}, { name = "told" })
      assert(s:dispatch({ class = "x", value = "1", metadata = { a = 1 } }))
      assert(s:dispatch({ class = "x", value = "1", metadata = { a = 2 } }))
      local evt = assert(sub:channel():receive("30s"))
      assert.equal("told/x:1", evt.path)
      assert.equal("its metadata changed", evt.data.reason)
      sub:close()
    end)
  end)

  describe("on_change", function()
    it("runs again when a merge changed the metadata, and sees it", function()
      local s = kit.open({
        capability({
          name = "c", input = { "x" }, output = { "y" }, rerun = "on_change",
          invoke = function(job, asset)
            job:send({ class = "y", value = "y" .. tostring((asset.metadata or {}).a) })
          end,
        }),
      })
      kit.run(s, "x", { "1" })
      for _, a in ipairs({ 1, 1, 2 }) do
        assert(s:dispatch({ class = "x", value = "1", metadata = { a = a } }))
        assert(s:wait("60s"))
      end
      assert.same({ "y1", "y2", "ynil" }, kit.values(s, "y"))
      assert.equal(2, s:stats().reruns)
      assert.matches("has not changed since", s:why_not("c", "x:1").answer)
    end)
    it("does not start itself by changing its own input", function()
      local s = kit.open({
        capability({
          name = "c", input = { "x" }, output = { "x" }, rerun = "on_change",
          invoke = function(job, asset)
            local n = (asset.metadata or {}).n or 0
            job:send({ class = "x", value = asset.value, metadata = { n = n + 1 } })
          end,
        }),
      })
      kit.run(s, "x", { "1" })
      assert.equal(0, s:stats().reruns)
      assert.equal(1, s:asset("x:1").metadata.n)
    end)
    it("ends when two change the inputs of each other, with a stored reason", function()
      local function bump(name)
        return capability({
          name = name, input = { "x" }, output = { "x" }, rerun = "on_change",
          invoke = function(job, asset)
            local n = (asset.metadata or {}).n or 0
            job:send({ class = "x", value = asset.value, metadata = { n = n + 1 } })
          end,
        })
      end
      local s = kit.open({ bump("a"), bump("b") })
      local stats = kit.run(s, "x", { "1" })
      assert.is_true(stats.reruns <= 64)
      assert.is_true((stats.rejections.repeats or 0) > 0)
      local told = s:why_not("a", "x:1").answer .. s:why_not("b", "x:1").answer
      assert.matches("; refused at .* UTC: repeats: it has changed more than 16 times", told)
      local bound = kit.open({ bump("e"), bump("f") }, { limits = { repeats = 3 } })
      stats = kit.run(bound, "x", { "1" })
      assert.is_true(stats.reruns <= 8)
      assert.is_true((stats.rejections.repeats or 0) > 0)
    end)
  end)

  describe("events as inputs", function()
    local function caps(rerun)
      return {
        lister({ rerun = rerun or "always" }),
        capability({
          name = "watch", output = { "alert" },
          input = { "asset.new:file", "asset.changed:file", "asset.gone:file" },
          invoke = function(job, asset)
            local m = asset.metadata
            local size = m.metadata and m.metadata.size or "-"
            local before = m.before and m.before.size or "-"
            job:send({ class = "alert",
              value = ("%s %s %s %s %d"):format(m.event, m.key, before, size, m.run) })
          end,
        }),
      }
    end
    it("tell what is new, changed and gone since the run before", function()
      local alerts = {}
      for i, text in ipairs({ "a=1 b=1 c=1", "a=1 b=2 d=1", "a=1 b=2 d=1", "a=1 c=5", "" }) do
        note(path, text)
        local s = kit.open(caps(), { name = "watched" })
        if i == 1 then assert(s:dispatch({ class = "dir", value = path })) end
        assert(s:wait("60s"))
        alerts[i] = kit.values(s, "alert")
        if i == 5 then
          assert.is_truthy(s:asset("file:b").gone)
          assert.is_nil(s:asset("dir:" .. path).gone)
        end
        s:close()
      end
      assert.same({}, alerts[1])
      assert.same({ "changed file:b 1 2 2", "gone file:c - 1 2", "new file:d - 1 2" }, alerts[2])
      assert.same(alerts[2], alerts[3])
      assert.same({
        "changed file:b 1 2 2", "changed file:c 1 5 4", "gone file:b - 2 4", "gone file:c - 1 2",
        "gone file:d - 1 4", "new file:c - 5 4", "new file:d - 1 2",
      }, alerts[4])
      assert.equal(9, #alerts[5])
    end)
    it("take nothing for gone whose capability did not run again, or failed", function()
      note(path, "a=1")
      local s = kit.open(caps("once"), { name = "kept" })
      kit.run(s, "dir", { path })
      s:close()
      note(path, "")
      s = kit.open(caps("once"), { name = "kept" })
      assert(s:dispatch({ class = "dir", value = path }))
      assert(s:wait("60s"))
      assert.same({}, kit.values(s, "alert"))
      s:close()
      os.remove(path)
      s = kit.open(caps("always"), { name = "kept" })
      assert.equal(1, assert(s:wait("60s")).failed)
      assert.same({}, kit.values(s, "alert"))
    end)
    it("take nothing for gone that was found, and is out of scope now", function()
      note(path, "a=1 b=1 c=1")
      local s = kit.open(caps(), { name = "narrow" })
      kit.run(s, "dir", { path })
      s:close()
      note(path, "a=1 b=1")
      s = kit.open(caps(), { name = "narrow", scope = { "!file:b" } })
      assert.equal(1, assert(s:wait("60s")).reruns)
      assert.same({ "gone file:c - 1 2" }, kit.values(s, "alert"))
      assert.is_nil(s:asset("file:b").gone)
      local changed = {}
      for asset in s:assets({ changed_since = s:asset("file:c").gone }) do
        changed[#changed + 1] = asset.class
      end
      assert.same({ "file", "asset.gone:file", "alert" }, changed)
      s:close()
    end)
  end)

  it("records versions of capabilities with jobs and assets", function()
    local function with(version)
      return { lister({ rerun = "always", version = version }) }
    end
    note(path, "a=1")
    local s = kit.open(with("1.0"), { name = "versions" })
    kit.run(s, "dir", { path })
    assert.equal("1.0", kit.list(s:jobs())[1].version)
    assert.equal("1.0", s:asset("file:a").capability_version)
    s:close()
    note(path, "a=1 b=1")
    s = kit.open(with("1.1"), { name = "versions" })
    assert(s:wait("60s"))
    assert.equal("1.1", kit.list(s:jobs())[1].version)
    assert.equal("1.0", s:asset("file:a").capability_version)
    assert.equal("1.1", s:asset("file:b").capability_version)
  end)
end)
