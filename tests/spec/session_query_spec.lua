--- A-65, A-68: which assets a session has, by what they are, how and when they were found; its
--- edges as triples.
local env = require("session_env")
local time = require("time")

local caps = {
  { name = "resolve", input = { "domain" }, output = { "ip", "domain" },
    invoke = function(job, asset)
      if asset.depth >= 2 then return end
      job:send({ class = "ip", value = "10.0.0." .. #asset.value, metadata = { up = true } })
      job:send({ class = "domain", value = "www." .. asset.value, metadata = { via = "guess" } })
    end },
  { name = "scan", input = { "ip" }, output = { "port" }, invoke = function(job, asset)
    for _, port in ipairs({ 22, 80 }) do
      job:send({ class = "port", value = asset.value .. ":" .. port,
        metadata = { port = port, state = port == 22 and "open" or "closed" } })
    end
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

local function triples(s, opts)
  local list = {}
  for edge in s:edges(opts) do
    list[#list + 1] = ("%s-%s-%s"):format(edge.from, edge.capability, edge.to)
  end
  table.sort(list)
  return table.concat(list, " ")
end

describe("a query of assets", function()
  local s
  after_each(env.close_all)
  before_each(function()
    s = env.open(caps)
    env.run(s, "domain", { "a.test", "bb.test" })
  end)

  it("goes by class and value patterns, and by how the value begins", function()
    assert.equal("domain:a.test domain:bb.test", keys(s, { class = "domain", value = "*.test" }))
    assert.equal("domain:a.test domain:www.a.test domain:www.www.a.test",
      keys(s, { value = "**.a.test" }))
    assert.equal("domain:bb.test", keys(s, { class = "domain", prefix = "bb" }))
    assert.equal("", keys(s, { prefix = "B" }))
    assert.equal("ip:10.0.0.6 ip:10.0.0.7", keys(s, { class = "ip", value = "*.*.*.(6|7)" }))
  end)

  it("goes by metadata: each field that is given, of any type", function()
    local open = "port:10.0.0.10:22 port:10.0.0.11:22 port:10.0.0.6:22 port:10.0.0.7:22"
    assert.equal(open, keys(s, { metadata = { state = "open" } }))
    assert.equal(open, keys(s, { metadata = { state = "open", port = 22 } }))
    assert.equal(open, keys(s, { metadata = { port = "22" } }))
    assert.equal("", keys(s, { metadata = { state = "open", port = 80 } }))
    assert.equal("ip:10.0.0.10 ip:10.0.0.11 ip:10.0.0.6 ip:10.0.0.7",
      keys(s, { metadata = { up = true } }))
    assert.equal("", keys(s, { metadata = { up = false } }))
    assert.equal("", keys(s, { metadata = { none = "x" } }))
    assert.equal(keys(s), keys(s, { metadata = {} }))
  end)

  it("goes by who found it, from what, on any of the ways, and by depth", function()
    assert.equal("port:10.0.0.6:22 port:10.0.0.6:80", keys(s, { parent = "ip:10.0.0.6" }))
    assert.equal("domain:www.a.test", keys(s, { parent = "domain:a.test", class = "domain" }))
    assert.equal(keys(s, { class = "port" }), keys(s, { capability = "scan" }))
    assert.equal("domain:a.test domain:bb.test", keys(s, { depth = 0 }))
    assert.equal("", keys(s, { capability = "nobody" }))
    assert.equal("", keys(s, { parent = "ip:9.9.9.9" }))
    local t = env.open({ { name = "same", input = { "x" }, output = { "y" },
      invoke = function(job) job:send({ class = "y", value = "1" }) end } })
    env.run(t, "x", { "1", "2" })
    assert.equal("y:1", keys(t, { parent = "x:1" }))
    assert.equal("y:1", keys(t, { parent = "x:2" }))
  end)

  it("goes by when it was found", function()
    local all = keys(s)
    assert.equal(all, keys(s, { found_since = time.now() - 3600 }))
    assert.equal(all, keys(s, { found_before = time.now() + 3600 }))
    assert.equal("", keys(s, { found_since = time.now() + 3600 }))
    assert.equal("", keys(s, { found_before = time.now() - 3600 }))
    local created = assert(s:asset("domain:a.test")).created
    assert.is_truthy(keys(s, { found_since = created }):find("domain:a.test", 1, true))
    assert.is_nil(keys(s, { found_before = created }):find("domain:a.test ", 1, true))
  end)

  it("is paged by position", function()
    local ids, after = {}, 0
    repeat
      local n = 0
      for asset in s:assets({ since = after, limit = 3 }) do
        ids[#ids + 1], after, n = asset.id, asset.id, n + 1
      end
      assert.is_true(n <= 3)
    until n < 3
    assert.equal(#env.list(s:assets()), #ids)
    for i = 2, #ids do
      assert.is_true(ids[i] > ids[i - 1])
    end
    assert.equal(0, #env.list(s:assets({ limit = 0 })))
  end)

  it("has the edges as triples", function()
    assert.equal("ip:10.0.0.6-scan-port:10.0.0.6:22 ip:10.0.0.6-scan-port:10.0.0.6:80",
      triples(s, { from = "ip:10.0.0.6" }))
    assert.equal("domain:a.test-resolve-ip:10.0.0.6", triples(s, { to = "ip:10.0.0.6" }))
    assert.equal(8, #env.list(s:edges({ capability = "scan" })))
    assert.equal("ip:10.0.0.6-scan-port:10.0.0.6:80",
      triples(s, { from = "ip:10.0.0.6", to = "port:10.0.0.6:80", capability = "scan" }))
    assert.equal("", triples(s, { from = "ip:10.0.0.6", capability = "resolve" }))
    assert.equal("", triples(s, { from = "nothing" }))
    assert.equal(5, #env.list(s:edges({ limit = 5 })))
  end)

  it("takes a text as a whole: what has a NUL byte is nothing that is stored", function()
    assert.equal("", keys(s, { value = "a.test\0x" }))
    assert.equal("", keys(s, { class = "domain\0" }))
    assert.equal("", keys(s, { prefix = "a.test\0x" }))
    assert.equal("", keys(s, { prefix = "\0" }))
    assert.equal("", keys(s, { capability = "scan\0x" }))
    assert.equal("", keys(s, { parent = "ip:10.0.0.6\0x" }))
    assert.equal("", keys(s, { metadata = { ["state\0x"] = "open" } }))
    assert.equal("", triples(s, { from = "ip:10.0.0.6\0x" }))
    for _, verb in ipairs({ "asset", "explain", "delete" }) do
      local answer, err = s[verb](s, "domain:a.test\0x")
      assert.is_nil(answer)
      assert.equal("NOT_FOUND", err:kind())
    end
    assert.equal(0, #env.list(s:jobs({ state = "completed\0x" })))
    s:dispatch({ class = "odd", value = "1", metadata = { ["a\0b"] = "x" } })
    s:wait(30)
    assert.equal("odd:1", keys(s, { metadata = { ["a\0b"] = "x" } }))
  end)

  it("does not open or remove what only begins like it", function()
    local session = require("session")
    local name, dir = s:name(), s._dir
    for _, opts in ipairs({ { name = name .. "\0x" }, { dir = dir .. "\0x", name = "n" },
      { name = "n", scope = { "a.test\0x" } } }) do
      opts.dir = opts.dir or dir
      local other, err = session.open(opts)
      assert.is_nil(other)
      assert.equal("INVALID", err:kind())
    end
    s:close()
    local ok, err = session.remove(name .. "\0x", dir)
    assert.is_nil(ok)
    assert.equal("INVALID", err:kind())
    assert.is_true(session.remove(name, dir))
  end)

  it("refuses what it does not know", function()
    for _, opts in ipairs({ { klass = "x" }, { class = 1 }, { metadata = "x" }, { depth = "1" },
      { found_since = "yesterday" }, { limit = 1.5 } }) do
      assert.has_error(function() s:assets(opts) end)
    end
    assert.has_error(function() s:edges({ class = "x" }) end)
    assert.has_error(function() s:edges({ from = 1 }) end)
  end)
end)
