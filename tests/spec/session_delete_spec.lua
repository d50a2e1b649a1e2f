--- A-66: deleting an asset of a session; what becomes of its edges, children, jobs and number.
local env = require("session_env")
local events = require("events")

local chain = {
  { name = "first", input = { "a" }, output = { "b" }, invoke = function(job, asset)
    job:send({ class = "b", value = asset.value, metadata = { n = 1 } })
    job:send({ class = "b", value = "shared" })
  end },
  { name = "second", input = { "b" }, output = { "c" }, invoke = function(job, asset)
    job:send({ class = "c", value = asset.value })
    if asset.value == "bad" then error("cannot") end
  end },
}

local function keys(s, opts)
  local list = {}
  for asset in s:assets(opts) do
    list[#list + 1] = asset.key
  end
  table.sort(list)
  return table.concat(list, " ")
end

local function edges(s)
  local list = {}
  for edge in s:edges() do
    list[#list + 1] = edge.from .. ">" .. edge.to
  end
  return table.concat(list, " ")
end

local function is_error(kind, ok, err)
  assert.is_nil(ok)
  assert.equal(kind, err:kind())
end

describe("deleting an asset", function()
  after_each(env.close_all)

  it("takes its row, its edges and its jobs; what it led to stays", function()
    local s = env.open(chain)
    env.run(s, "a", { "x", "y" })
    assert.equal("a:x a:y b:shared b:x b:y c:shared c:x c:y", keys(s))
    assert.is_true(s:delete("a:x"))
    assert.equal("a:y b:shared b:x b:y c:shared c:x c:y", keys(s))
    assert.is_nil(edges(s):find("a:x", 1, true))
    assert.is_truthy(edges(s):find("a:y>b:shared", 1, true))
    assert.is_nil(assert(s:asset("b:x")).parent)
    assert.equal("first", assert(s:asset("b:x")).capability)
    is_error("NOT_FOUND", s:asset("a:x"))
    is_error("NOT_FOUND", s:explain("a:x"))
    assert.equal("b:x", assert(s:explain("c:x"))[1].key)
    assert.equal("a:y", assert(s:explain("c:shared"))[1].key)
    for job in s:jobs() do
      assert.not_equal("a:x", job.target)
    end
    assert.is_true(s:delete("b:shared"))
    assert.is_nil(edges(s):find("b:shared", 1, true))
    is_error("NOT_FOUND", s:delete("a:x"))
    assert.has_error(function() s:delete() end)
  end)

  it("keeps the counters those of the assets that are left", function()
    local s = env.open(chain)
    env.run(s, "b", { "x", "bad", "y" })
    local stats = assert(s:stats())
    assert.equal(3, stats.work_items_total)
    assert.equal(1, stats.failed)
    assert.is_true(s:delete("b:bad"))
    assert.is_true(s:delete("b:x"))
    stats = assert(s:stats())
    assert.equal(1, stats.work_items_total)
    assert.equal(1, stats.work_items_completed)
    assert.equal(0, stats.failed)
    assert.equal(1, stats.assets.b)
    assert.equal(3, stats.assets.c)
    local listed = 0
    for _ in s:jobs() do
      listed = listed + 1
    end
    assert.equal(1, listed)
  end)

  it("drops queued work, and the round ends", function()
    local s = env.open(chain, { start = false })
    for i = 1, 5 do
      assert(s:dispatch({ class = "a", value = tostring(i) }))
    end
    for i = 1, 5 do
      if i ~= 3 then assert.is_true(s:delete("a:" .. i)) end
    end
    assert.equal(1, assert(s:stats()).queued)
    s:resume()
    assert(s:wait("60s"))
    assert.equal("a:3 b:3 b:shared c:3 c:shared", keys(s))
    local t = env.open(chain, { start = false })
    assert(t:dispatch({ class = "a", value = "only" }))
    assert.is_true(t:delete("a:only"))
    t:resume()
    assert.equal(0, assert(t:wait("60s")).work_items_total)
  end)

  it("is refused while a job of it runs", function()
    local gate = { {
      name = "gate", input = { "g" }, output = {}, invoke = function()
        local events_of = require("events")
        local sub = assert(events_of.subscribe("delete-spec", "open"))
        assert(events_of.send("delete-spec", "runs", "g"))
        sub:channel():receive("60s")
      end,
    } }
    local runs = assert(events.subscribe("delete-spec", "runs"))
    local s = env.open(gate)
    assert(s:dispatch({ class = "g", value = "1" }))
    assert.is_truthy((runs:channel():receive("60s")))
    is_error("CONFLICT", s:delete("g:1"))
    is_error("CONFLICT", s.queue:delete({ class = "g", value = "1" }))
    assert(events.send("delete-spec", "open", "g"))
    assert(s:wait("60s"))
    assert.is_true(s:delete("g:1"))
    runs:close()
  end)

  it("tells the bus, after it is on disk", function()
    local s = env.open(chain)
    local sub = assert(events.subscribe("session", "asset.deleted"))
    env.run(s, "c", { "x" })
    assert.is_true(s:delete("c:x"))
    local event = assert(sub:channel():receive("60s"))
    assert.equal(s:name() .. "/c:x", event.path)
    assert.equal("c", event.data.class)
    assert.equal("x", event.data.value)
    sub:close()
  end)

  it("is for good; found again, it is a new one with another number", function()
    local s = env.open(chain)
    env.run(s, "a", { "x" })
    local before = assert(s:asset("b:x")).id
    local highest = 0
    for asset in s:assets() do
      highest = math.max(highest, asset.id)
    end
    assert.is_true(s:delete("b:x"))
    assert.is_true(s:delete("c:shared"))
    s:close()
    local again = env.open(chain, { name = s:name() })
    is_error("NOT_FOUND", again:asset("b:x"))
    assert.equal("queued", again:dispatch({ class = "b", value = "x" }))
    assert(again:wait("60s"))
    local after = assert(again:asset("b:x")).id
    assert.is_true(after > before)
    assert.is_true(after > highest)
    assert.equal("duplicate", again:dispatch({ class = "b", value = "x" }))
  end)

  it("makes room under a budget", function()
    local s = env.open({}, { limits = { assets = 2 } })
    assert.equal("stored", s:dispatch({ class = "z", value = "1" }))
    assert.equal("stored", s:dispatch({ class = "z", value = "2" }))
    assert.equal("over_limit", s:dispatch({ class = "z", value = "3" }))
    assert.is_true(s:delete("z:1"))
    assert.equal("stored", s:dispatch({ class = "z", value = "3" }))
  end)

  it("is refused by a closed session", function()
    local s = env.open(chain)
    env.run(s, "c", { "x" })
    s:close()
    is_error("CANCELED", s:delete("c:x"))
  end)
end)
