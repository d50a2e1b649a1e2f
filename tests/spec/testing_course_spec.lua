--- Capability tests that go on: `advance` over schedules and `rerun`, and `scope`.
--- SPDX-License-Identifier: MIT
local fs = require("fs")
local testing = require("testing")

local folder

setup(function()
  folder = assert(fs.temp_dir("testing-course"))
end)
teardown(function()
  fs.remove(folder, { recursive = true })
end)

-- The differences of the one case as lines, and the case.
local function try(declared, case)
  local text = [[
    local tcp, dns, http, exec, udp = require("tcp"), require("dns"), require("http"),
      require("exec"), require("udp")
    local time = require("time")
    return capability { name = "it", output = { "y" }, %s }]]
  assert(fs.write(folder .. "/it.lua", text:format(declared)))
  assert(fs.write(folder .. "/it.test.lua",
    ('return { capability = "it.lua", cases = { { %s } } }'):format(case)))
  local got = testing.run({ folder .. "/it.test.lua" }).cases[1]
  local lines = {}
  for i, each in ipairs(got.differences) do
    lines[i] = ("%s: expected %s, got %s"):format(each.what, each.expected, each.got)
  end
  return table.concat(lines, "\n"), got
end

local function passes(declared, case)
  local words, got = try(declared, case)
  assert.equal("", words)
  return got.result
end

local function fails(declared, case, expected)
  local words = try(declared, case)
  assert.is_truthy(words:find(expected, 1, true), words)
end

local TICKS = [[every = "1h",
  invoke = function(job, asset) job:send { class = "y", value = asset.value } end]]
local ONCE = [[input = { "x" }, rerun = "%s",
  invoke = function(job, asset)
    time.sleep("10m")
    local word = (asset.metadata or {}).word or "none"
    job:send { class = "y", value = word .. " " .. time.now() }
  end]]
local X = 'asset = { class = "x", value = "1" },'

describe("testing: times", function()
  it("a schedule: the first time at once, then as often as the clock is advanced", function()
    local result = passes(TICKS, [[advance = { "90m", "30m" }, runs = { 0, "1h", "2h" },
      expect = { { value = "2026-01-01T00:00:00Z" }, { value = "2026-01-01T01:00:00Z" },
        { value = "2026-01-01T02:00:00Z" } } ]])
    assert.equal(7200, result.time)
    assert.equal("2026-01-01T01:00:00Z", result.runs[2].value)
    passes(TICKS, 'advance = "59m", runs = 1')
    passes(TICKS, 'advance = {}, runs = 1')
  end)

  it("a cron expression: its times only", function()
    local cron = TICKS:gsub('"1h"', '"30 3 * * *"')
    passes(cron, [[advance = "25h", runs = { "3h30m" },
      expect = { { value = "2026-01-01T03:30:00Z" } } ]])
    passes(cron, [[advance = "2h", runs = 0, expect = {}]])
  end)

  it("a tick that comes while the one before is not over is left out", function()
    local slow = TICKS:gsub("job:send", 'time.sleep("70m") job:send') .. ", timeout = false"
    passes(slow, 'advance = "4h", runs = { 0, "2h", "4h" }')
  end)

  it("are those of the documentation", function()
    local text = assert(fs.read("docs/testing.md"))
    local night = assert(text:match("local each_night = ({.-\n.-}) %-%- every"))
    passes((TICKS:gsub('"1h"', '"0 3 * * *"')), night:sub(2, -2))
    local later = assert(text:match("local a_day_later = ({.-}) %-%- rerun"))
    passes([[input = { "domain" }, rerun = "after:24h",
      invoke = function(job, asset) dns.resolve(asset.value) end]], later:sub(2, -2))
  end)

  it("tells how many there were, and when", function()
    fails(TICKS, 'advance = "2h", runs = 2', "runs: expected 2, got 3 (0 s, 3600 s, 7200 s)")
    fails(TICKS, 'advance = "1h", runs = { 0, "2h" }',
      "runs: expected 2 (0 s, 7200 s), got 2 (0 s, 3600 s)")
  end)

  for _, row in ipairs({
    { "once", '{ "25h", { after = "25h", metadata = { word = "new" } } }', "{ 0 }" },
    { "always", '{ "1h", "1h" }', '{ 0, "70m", "140m" }' },
    { "after:24h", '{ "1h", "22h", "1h", "1h" }', '{ 0, "24h10m" }' },
    { "after:24h", '{ "50h", "1h" }', '{ 0, "50h10m" }' },
    { "on_change", '{ "1h", { after = "1h", metadata = { word = "new" } }, "1h" }',
      '{ 0, "2h10m" }' },
  }) do
    it(("an asset that is found again: rerun = %q, %s"):format(row[1], row[2]), function()
      passes(ONCE:format(row[1]), ("%s advance = %s, runs = %s"):format(X, row[2], row[3]))
    end)
  end

  it("merges what is found again, and sends each key once", function()
    local result = passes(ONCE:format("on_change"), X .. [[
      advance = { { after = "1h", metadata = { word = "new" } } }, runs = 2 ]])
    assert.equal("none 1767226200", result.sent[1].value)
    assert.equal("new 1767230400", result.sent[2].value)
    passes([[input = { "x" }, rerun = "always",
      invoke = function(job) job:send { class = "y", value = "same" } end]],
      X .. 'advance = { "1h" }, runs = 2, expect = { { value = "same" } }')
  end)

  it("what snoozes or is tried again falls due as well", function()
    passes([[input = { "x" }, invoke = function(job)
      if time.now() < 1767225600 + 3600 then job:snooze("25m") end
      job:send { class = "y", value = "done" } end]],
      X .. 'advance = "2h", runs = { 0, "25m", "50m", "75m" }, expect = { { value = "done" } }')
    local busy = [[input = { "x" }, retries = 2, invoke = function(job)
      if job.attempt < 3 then
        error(errors.new { message = "busy", kind = "UNAVAILABLE", retryable = true })
      end
      job:send { class = "y", value = tostring(job.attempt) } end]]
    passes(busy,
      X .. 'advance = "1m", runs = { 0, "500ms", "1500ms" }, expect = { { value = "3" } }')
    passes(busy, X .. 'advance = "1s", runs = 2, state = "retrying", expect = {}')
  end)

  it("one that would run without end fails the case", function()
    local words = try(TICKS:gsub('"1h"', '"10ms"'), 'advance = "1h"')
    assert.is_truthy(words:find("more than 10000 runs", 1, true), words)
  end)

  it("refuses what makes no sense", function()
    fails(TICKS, 'advance = "soon"', 'cases[1].advance: expected a duration such as "5s"')
    fails(TICKS, 'advance = { { word = 1 } }',
      "cases[1].advance[1]: expected after and metadata only")
    fails(TICKS, 'advance = { {} }', "cases[1].advance[1].after: expected a duration")
    fails(TICKS, 'advance = "1h", runs = "x"', "cases[1].runs: expected a number of runs")
    fails(ONCE:format("once"), X .. "runs = 1", "cases[1].runs: expected advance beside it")
    fails(ONCE:format("once"), 'advance = "1h"', "only one with `every` runs without")
  end)
end)

local function active(body, more)
  return ([[input = { "x" }, active = true, %s invoke = function(job, asset)
    local function say(value, err)
      job:send { class = "y", value = value and "yes" or err:kind() .. ": " .. err:message() }
    end
    %s end]]):format(more or "", body)
end

local function in_scope(rules, rest)
  return ('%s scope = { "x:**", "y:**", %s }, %s'):format(X, rules, rest)
end

describe("testing: scope", function()
  for _, row in ipairs({
    { 'say(tcp.connect("192.0.2.1", 80))', '"10.0.0.0/8"',
      "connect to 192.0.2.1:80: out of scope: no rule includes the address" },
    { 'say(tcp.connect("www.test", 80))', '"!www.test"', "excluded by !www.test" },
    { 'say(tcp.connect("www.test", 80))', '"!192.0.2.0/24"', "at 192.0.2.5: out of scope" },
    { 'say(udp.open():send("x", "192.0.2.1", 53))', '"!192.0.2.1"', "send to 192.0.2.1:53" },
    { 'say(dns.resolve("a.test"))', '"!a.test"', "resolve a.test: out of scope" },
    { 'say(dns.resolve("7.2.0.192.in-addr.arpa", "PTR"))', '"!192.0.2.7"', "resolve 192.0.2.7" },
    { 'say(dns.resolve("www.test", "A", { server = "192.0.2.9:53" }))', '"!192.0.2.9"',
      "ask the server 192.0.2.9" },
    { 'say(http.get("http://www.test/a"))', '"!url:http://www.*"', "excluded by !url" },
    { 'say(http.get("http://www.test/a"))', '"!192.0.2.5"', "at 192.0.2.5: out of scope" },
    { 'say(http.get("http://x.test/", { proxy = "http://192.0.2.9:8080" }))', '"!192.0.2.9"',
      "use the proxy 192.0.2.9:8080" },
    { 'say(exec.run("nmap"))', '"192.0.2.0/24"', "does not declare exec = true" },
  }) do
    it("refuses " .. row[1], function()
      local result = passes(active(row[1]), in_scope(row[2], [[calls = {},
        fakes = { dns = { ["www.test"] = { A = { "192.0.2.5" } } } } ]]))
      local got = result.sent[1].value
      assert.is_truthy(got:find("^PERMISSION_DENIED: "), got)
      assert.is_truthy(got:find(row[3], 1, true), got)
    end)
  end

  it("lets through what is inside, and all that is not active", function()
    local rest = [[fakes = { tcp = { ["*"] = true }, exec = { nmap = "" } },
      expect = { { value = "yes" } }]]
    passes(active('say(tcp.connect("192.0.2.1", 80))'), in_scope('"192.0.2.0/24"', rest))
    passes(active('say(exec.run("nmap"))', "exec = true,"), in_scope('"192.0.2.0/24"', rest))
    passes(active('say(tcp.connect("192.0.2.1", 80))'):gsub("active = true", "active = false"),
      in_scope('"10.0.0.0/8"', rest))
    passes(active('say(tcp.connect("192.0.2.1", 80))'), X .. rest)
  end)

  it("takes no results out of it", function()
    local body = 'assert(job:send { class = "y", value = "10.0.0.1" } == "out_of_scope")'
      .. 'assert(job:send { class = "y", value = "10.0.0.2" } == "queued")'
    passes(active(body), X .. [[scope = { "!10.0.0.1" }, expect = { { value = "10.0.0.2" } }]])
  end)

  it("refuses faulty rules, and an asset that would not run", function()
    fails(active(""), X .. 'scope = { "10.0.0.0/99" }', "scope: scope rule '10.0.0.0/99'")
    fails(active(""), X .. 'scope = { "!x:1" }', "asset: it is out of scope and would not run")
    fails(active(""), X .. 'scope = "x"', 'cases[1].scope: expected a table, got "x"')
  end)
end)
