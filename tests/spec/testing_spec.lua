--- testing: capability tests with fakes and a clock of their own. What is asserted here is mostly
--- that wrong things fail, and how that is told. SPDX-License-Identifier: MIT
local fixture = require("fixture")
local fs = require("fs")
local testing = require("testing")

local folder

local function write(name, text)
  assert(fs.write(folder .. "/" .. name, text))
end

-- Runs one case given as Lua text; its differences as lines, and the case.
local function run(case, opts)
  local text = 'return { capability = "it.lua", name = "it", cases = { %s } }'
  write("it.test.lua", text:format(case))
  local report = testing.run({ folder .. "/it.test.lua" }, opts)
  local got, lines = report.cases[1], {}
  for i, each in ipairs(got.differences) do
    lines[i] = ("%s: expected %s, got %s"):format(each.what, each.expected, each.got)
  end
  return table.concat(lines, "\n"), got
end

local function x(value, rest)
  return ('{ asset = { class = "x", value = "%s" }, %s }'):format(value, rest or "")
end

local function passes(value, rest, opts)
  assert.equal("", (run(x(value, rest), opts)))
end

local function fails(value, rest, ...)
  local words = run(x(value, rest))
  for _, expected in ipairs({ ... }) do
    assert.is_truthy(words:find(expected, 1, true), words)
  end
end

local function sends(...)
  local list = {}
  for i, value in ipairs({ ... }) do
    list[i] = ('{ class = "y", value = "%s" }'):format(value)
  end
  return ("expect = { %s },"):format(table.concat(list, ","))
end

setup(function()
  folder = assert(fs.temp_dir("testing-spec"))
  write("it.lua", fixture.read("testing/it.lua"))
  write("beside.lua", 'return { word = "beside" }')
end)

teardown(function()
  fs.remove(folder, { recursive = true })
end)

describe("testing: what was sent", function()
  it("passes when everything expected came, and nothing else", function()
    passes("send", 'expect = { { class = "y", value = "1", metadata = { b = 2 } } }')
    passes("list", sends("2", "1"))
    passes("twice", sends("1"))
    passes("itself", "expect = {}")
  end)

  it("names what is missing, with what came instead", function()
    fails("send", sends("2"), "sent: expected y:2, got y:1")
    fails("send", 'expect = { { class = "y", value = "1", metadata = { b = 3 } } }',
      'expected y:1  {"b":3}', '"b":2')
    fails("list", sends("1"), "expected nothing more, got y:2")
    fails("itself", sends("1"), "got nothing like it")
  end)

  it("keeps the order where that is asked for", function()
    passes("list", "ordered = true," .. sends("1", "2"))
    fails("list", "ordered = true," .. sends("2", "1"), "sent [1]: expected y:2, got y:1")
  end)

  it("refuses what the engine refuses", function()
    passes("undeclared", 'error = { kind = "INVALID", message = "\'z\'" }, state = "failed"')
    passes("novalue", 'error = { kind = "INVALID", message = "value" }')
  end)
end)

describe("testing: states", function()
  it("a gate that is shut, broken, or waits", function()
    passes("gate", 'reason = "the gate is shut"')
    passes("raise", 'reason = "gate broke"')
    passes("wait", 'reason = "may not wait"')
    fails("gate", "", "expected completed, got skipped (the gate is shut)")
    fails("send", 'reason = "shut"', "expected skipped, got completed")
  end)

  it("a fake is no more patient than the call", function()
    local slow = 'fakes = { http = { ["*"] = { delay = "%s", %s } } },'
    passes("patience", slow:format("4s", "body = ''") .. sends("answered 4"))
    passes("patience", slow:format("40s", "body = ''") .. sends("TIMEOUT 5"))
    passes("patience", slow:format("2s", "error = 'reset'") .. sends("UNAVAILABLE 2"))
    passes("patience", slow:format("2s", "error = 'timeout'") .. sends("TIMEOUT 5"))
  end)

  it("a closed socket sends nothing", function()
    passes("closed", sends("CANCELED"))
  end)

  it("a job knows its key, and what earlier stages failed with", function()
    passes("earlier", sends("x:earlier"))
    passes("earlier", 'errors = { { capability = "first", message = "no route" } }, '
      .. sends("x:earlier no route"))
    fails("earlier", "errors = 5", "errors")
  end)

  it("errors: failed, or retrying while there are attempts", function()
    passes("busy", 'state = "retrying", error = { kind = "UNAVAILABLE", message = "busy" }')
    passes("busy", 'attempt = 2, state = "failed", error = "busy"')
    fails("busy", 'error = "bored"', 'expected any kind with "bored", got UNAVAILABLE: busy')
    fails("bug", "", "expected completed, got failed", "attempt to call field 'nothing'")
    fails("send", 'error = "x"', "got no error")
    passes("spawned", 'error = "in a coroutine"')
  end)

  it("snoozing ends the run, also inside a pcall", function()
    passes("snooze", 'snooze = "5m"')
    fails("snooze", 'snooze = "6m"', "expected 360 s, got 300 s")
  end)

  it("time limits: waiting too long, for ever, and computing without end", function()
    passes("slow", 'error = { kind = "TIMEOUT", message = "after 60 s" }')
    passes("never", 'error = { kind = "TIMEOUT", message = "never comes" }')
    passes("loop", 'state = "failed", error = { message = "without end" }', { limit = 0.3 })
    passes("pcalls", 'state = "failed", error = { message = "without end" }', { limit = 0.3 })
  end)

  it("rate keys and priorities", function()
    passes("send", 'rate_key = "s", prioritize = 3')
    fails("send", 'rate_key = "t"', "rate_key: expected t, got s")
  end)
end)

describe("testing: time", function()
  it("jumps to the next instant", function()
    passes("ticks", "fakes = { time = { now = 1000 } }," .. sends("1030 30"))
    passes("side", sends("6") .. "check = function(r) assert(r.time == 3) end")
    passes("select", sends("true true"))
    passes("wrap", sends("ab") .. "check = function(r) assert(r.time == 2) end")
  end)
end)

describe("testing: fakes", function()
  it("a call without one fails the case, whatever the capability makes of it", function()
    fails("nofake", "", 'no fake for tcp: add fakes.tcp["h:1"]')
    fails("swallow", "", 'no fake for tcp: add fakes.tcp["h:1"]')
    fails("swallow", 'fakes = { tcp = { ["g:1"] = true } }', 'add fakes.tcp["h:1"]')
    passes("swallow", 'fakes = { tcp = { ["*"] = "refused" } }')
  end)

  it("tcp: a conversation as a list, as a function", function()
    local answer = sends("220 hi/250 ok", "TIMEOUT")
    passes("talk", [[fakes = { tcp = { ["mail:25"] = {
      "220 hi\r\n", { wait = "EHLO" }, { delay = "2s" }, "250 ok\r\n", open = true } } },
      calls = { "tcp.connect mail:25", "tcp.write mail:25 EHLO x\r\n" }, ]] .. answer)
    passes("talk", [[fakes = { tcp = { mail = function(peer)
      peer:write("220 hi\r\n") assert(peer:read("line") == "EHLO x") peer:write("250 ok\r\n")
      peer:read("all") end } }, ]] .. answer)
    passes("all", 'fakes = { tcp = { ["h:1"] = { "one ", "two" } } },' .. sends("one two"))
    passes("exact", 'fakes = { tcp = { ["h:1"] = "abcde" } },' .. sends("abc,de,nil"))
  end)

  it("tls, udp", function()
    passes("handshake", [[fakes = { tls = { ["h:1"] = {
      certificates = { { subject = "CN=h" } }, alpn = "h2" } } },]] .. sends("CN=h h2"))
    passes("udp", 'fakes = { udp = { ["ns:53"] = "r" } },' .. sends("r", "TIMEOUT"))
    passes("udp", [[fakes = { udp = function(bytes) return bytes .. "!" end },]]
      .. sends("q!", "TIMEOUT"))
  end)

  it("dns", function()
    passes("names", [[fakes = { dns = { ["a.test MX"] = { "mx.test" }, ["a.test A"] = "192.0.2.1",
      ["*"] = "NOT_FOUND" } },]] .. sends("mx.test 10", "192.0.2.1", "NOT_FOUND"))
    passes("names", [[fakes = { dns = function(name, kind)
      if name ~= "a.test" then return "timeout" end
      if kind == "MX" then return { { exchange = "m", preference = 1 } } end
      return kind == "A" and { "1" } or {} end },]] .. sends("m 1", "1", "TIMEOUT"))
  end)

  it("http, exec", function()
    passes("web", [[fakes = { http = {
      ["GET http://a.test/"] = { status = 201, headers = { ["X-A"] = "b" }, body = "long" },
      ["http://a.test/"] = function(request) return request.method .. request.body end } },]]
      .. sends("201blo", "POSTin"))
    passes("again", [[fakes = { http = { ["http://a.test/"] = {
      turns = { "timeout", "fine" } } } },]] .. sends("TIMEOUT", "fine"))
    passes("program", [[fakes = { exec = { ["nmap -sV 80"] = { stdout = "o", code = 1 },
      none = "NOT_FOUND" } },]] .. sends("o1", "NOT_FOUND"))
  end)

  it("fs: a tree in memory", function()
    passes("files", [[fakes = { fs = { ["/in/a"] = "text" } },
      check = function(r) assert(r.files["/out/c"] == "text!") assert(not r.files["/out/b"]) end,]]
      .. sends("in out", "NOT_FOUND", "/out/c"))
  end)

  it("everything else outside is refused", function()
    passes("io", 'error = "use fs and fakes.fs"')
    passes("spawn", 'error = "process.spawn is not there in a capability test"')
  end)

  it("words, progress and events are kept for `check`", function()
    passes("words", [[check = function(r)
      assert(r.logs[1].message == "careful" and r.logs[1].fields.n == 1 and #r.logs == 2)
      assert(r.progress[1].fraction == 0.5 and r.events[1].kind == "b") end]])
    fails("words", 'check = function() error("no good") end', "check: expected no error", "no good")
  end)
end)

describe("testing: the capability", function()
  it("is made anew for each case, with modules beside it", function()
    local two = x("fresh", sends("1")) .. "," .. x("fresh", sends("1"))
    local _, case = run(two)
    assert.is_true(case.ok)
    passes("user", sends("beside"))
    passes("fields", sends("it x:fields 1 test", "false60"))
  end)

  it("gets the options of the case over its defaults", function()
    passes("option", sends("w2"))
    passes("option", 'options = { word = "v", count = 3 },' .. sends("v3"))
    fails("option", "options = { wort = 1 }", "options.wort: it has no such option")
    fails("option", 'options = { count = "3" }', "options.count: expected a number, got string")
  end)

  it("must take the class of the asset", function()
    assert.equal("", (run('{ asset = { class = "x-1", value = "send" } }')))
    assert.matches("it does not take class 'q'", (run('{ asset = { class = "q", value = "1" } }')))
  end)
end)

describe("testing: a faulty test file", function()
  local function fault(text)
    write("faulty.test.lua", text)
    local report = testing.run({ folder .. "/faulty.test.lua" })
    assert.equal(1, report.failed)
    return report.cases[1].differences[1].got
  end
  local function with(case)
    return ('return { capability = "it.lua", name = "it", cases = { { %s } } }'):format(case)
  end

  it("names file, field and what was expected", function()
    local rows = {
      { "return 1", "faulty.test.lua: the file: expected to return a table, got 1" },
      { "return {", "faulty.test.lua:1:" },
      { "error('top')", "top" },
      { "return {}", "capability: expected the path of a capability file, got nil" },
      { "return { capability = 1 }", "capability: expected a string, got 1" },
      { 'return capability { name = "a", input = { "b" }, invoke = print }',
        "a capability, no test file" },
      { "return { { invoke = print } }", "a capability, no test file" },
      { 'return { capability = "it.lua" }', "cases: expected a list of cases, or replay" },
      { 'return { capability = "it.lua", casses = {} }', "casses: unknown field" },
      { with(""), "cases[1].asset: expected { class =, value = }, got nil" },
      { with('asset = { class = "x" }'), "cases[1].asset.value: expected a string, got nil" },
      { with('asset = { klass = "x" }'), "cases[1].asset: expected class, value, key" },
      { with('expect = 1'), "cases[1].expect: expected a table, got 1" },
      { with('expect = { 1 }'), "cases[1].expect[1]: expected a table, got 1" },
      { with('expect = { a = 1 }'), "cases[1].expect: expected a list" },
      { with('state = "done"'), "cases[1].state: expected completed, skipped" },
      { with('fakes = { ftp = {} }'), "cases[1].fakes: expected fakes for dns, exec" },
      { with('fakes = { tcp = 1 }'), "cases[1].fakes.tcp: expected a table, got 1" },
      { with('snooze = "soon"'), 'cases[1].snooze: expected a duration such as "5s"' },
      { with('attempt = 0'), "cases[1].attempt: expected a whole number above 0, got 0" },
      { with('check = 1'), "cases[1].check: expected a function, got 1" },
      { with('nme = "x"'), "cases[1].nme: unknown field" },
    }
    for _, row in ipairs(rows) do
      local got = fault(row[1])
      assert.is_truthy(got:find(row[2], 1, true), row[1] .. "\n" .. got)
    end
  end)

  it("a capability that is not there, faulty, or not in its file", function()
    local case = 'cases = { { asset = { class = "x", value = "1" } } } }'
    assert.matches("none.lua", fault('return { capability = "none.lua", ' .. case))
    write("broken.lua", 'return capability({ name = "b", input = {} })')
    assert.matches("input: expected at least one class",
      fault('return { capability = "broken.lua", ' .. case))
    assert.matches("no capability 'nope' in it",
      fault('return { capability = "it.lua", name = "nope", ' .. case))
  end)

  it("a file that is not there", function()
    local report = testing.run({ folder .. "/nothing.test.lua" })
    assert.equal(1, report.failed)
  end)
end)

describe("testing.run", function()
  it("takes only cases whose name has the filter", function()
    write("two.test.lua", [[return { capability = "it.lua", name = "it", cases = {
      { name = "first", asset = { class = "x", value = "send" } },
      { name = "second", asset = { class = "x", value = "send" } } } }]])
    local seen = {}
    local report = testing.run({ folder .. "/two.test.lua" }, {
      filter = "sec",
      on_case = function(case)
        seen[#seen + 1] = case.name
      end,
    })
    assert.same({ "second" }, seen)
    assert.equal(1, report.passed)
  end)

  it("refuses wrong arguments", function()
    assert.error_matches(function()
      testing.run("x")
    end, "bad argument #1 to 'run' %(table expected, got string%)")
    assert.error_matches(function()
      testing.run({}, { filter = 1 })
    end, "bad argument 'filter' to 'run'")
  end)
end)

describe("testing: the capabilities that come along", function()
  it("pass their tests", function()
    local paths = {}
    for _, folder_name in ipairs({ "scripts", "examples/capabilities" }) do
      for _, name in ipairs(assert(fs.list(folder_name))) do
        if name:find("%.test%.lua$") then paths[#paths + 1] = folder_name .. "/" .. name end
      end
    end
    assert.is_true(#paths >= 6)
    local report = testing.run(paths, {
      on_case = function(case)
        local first = case.differences[1]
        local words = first and ("%s: %s, got %s"):format(case.name, first.expected, first.got)
        assert.is_true(case.ok, words)
      end,
    })
    assert.is_true(report.passed >= 20)
  end)
end)

describe("testing: setup", function()
  local function differences(how, case)
    write("setup.lua", ([[local word
      return capability({ name = "s", input = { "x" }, output = { "y" },
        setup = function(ctx) %s end,
        invoke = function(job) job:send({ class = "y", value = word }) end })]]):format(how))
    write("setup.test.lua", ([[return { capability = "setup.lua", cases = {
      { asset = { class = "x", value = "1" }, %s } } }]]):format(case))
    local report = testing.run({ folder .. "/setup.test.lua" })
    local first = report.cases[1].differences[1]
    return first and first.expected .. "/" .. first.got
  end

  it("runs before the job, and may wait", function()
    assert.is_nil(differences('require("time").sleep(1) word = ctx.session',
      'expect = { { class = "y", value = "test" } }'))
  end)

  it("fails softly and hard", function()
    assert.is_nil(differences('return false, "no list"', 'reason = "setup: no list"'))
    assert.is_nil(differences('return nil, errors.new("gone")', 'reason = "setup: gone"'))
    assert.is_nil(differences('error("broken")', 'error = "broken", state = "failed"'))
  end)
end)
