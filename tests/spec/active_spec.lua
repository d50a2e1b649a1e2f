--- `active = true`: network modules that keep to the session's scope.
-- SPDX-License-Identifier: MIT
local env = require("tests.support.session_env")
local http = require("http")
local tcp = require("tcp")
local udp = require("udp")

-- What runs inside of the job: each answers something true, or nil and an error.
local function to_address(job)
  return require("tcp").connect("127.0.0.1", job.options.port, { timeout = "10s" })
end
local function to_name(job)
  return require("tcp").connect("localhost", job.options.port, { timeout = "10s" })
end
local function to_full_name(job)
  return require("tcp").connect("LocalHost", job.options.port, { timeout = "10s" })
end
local function by_tls(job)
  return require("tls").connect("127.0.0.1", job.options.port, { timeout = "10s" })
end
local function by_udp(job)
  local socket = assert(require("udp").open("127.0.0.1", 0))
  return socket:send("x", "127.0.0.1", job.options.port)
end
local function by_udp_name(job)
  local socket = assert(require("udp").open("127.0.0.1", 0))
  return socket:send("x", "localhost", job.options.port, { timeout = "10s" })
end
local function by_dns()
  return require("dns").resolve("secret.test", "A", { timeout = "1ms", tries = 1 })
end
local function by_reverse()
  return require("dns").resolve("192.0.2.7", "PTR", { timeout = "1ms", tries = 1 })
end
local function by_own_server()
  local opts = { server = "192.0.2.1:53", timeout = "1ms", tries = 1 }
  return require("dns").resolve("www.lab.test", "A", opts)
end
local function by_lookup()
  return require("dns").lookup("localhost", { timeout = "10s" })
end
local function by_http(job)
  return require("http").get("http://127.0.0.1:" .. job.options.port .. "/")
end
local function by_redirect(job)
  return require("http").get("http://127.0.0.1:" .. job.options.port .. "/away")
end
local function by_chosen_address(job)
  return require("http").get(
    "http://www.lab.test:" .. job.options.port .. "/",
    { address = "127.0.0.1" }
  )
end
local function by_proxy(job)
  local proxy = "http://127.0.0.1:" .. job.options.port
  return require("http").get("http://www.lab.test/", { proxy = proxy })
end
local function by_child(job)
  local function dial(port)
    local conn, err = require("tcp").connect("127.0.0.1", port, { timeout = "10s" })
    if not conn then error(err) end
    return true
  end
  local pid = assert(process.spawn_monitored(dial, job.options.port))
  local event = process.events():receive("30s")
  if event.result.error then return nil, event.result.error end
  return pid
end
local function by_grandchild(job)
  local function outer(port)
    local function inner(at)
      local conn, err = require("tcp").connect("127.0.0.1", at, { timeout = "10s" })
      if not conn then error(err) end
      return true
    end
    local ok, err = process.exec(inner, port)
    if not ok then error(err) end
    return ok
  end
  return process.exec(outer, job.options.port)
end
local function by_supervisor(job)
  local function dial(at, to)
    local conn, err = require("tcp").connect("127.0.0.1", at, { timeout = "10s" })
    process.send(to, "answer", conn and "yes" or err:message())
  end
  local answers = process.listen("answer")
  local tree = assert(require("supervisor").start({
    children = {
      { id = "dial", start = { dial, job.options.port, process.pid() }, restart = "temporary" },
    },
  }))
  local answer = answers:receive("30s")
  tree:stop()
  if answer ~= "yes" then
    return nil, errors.new({ message = answer, kind = "PERMISSION_DENIED" })
  end
  return true
end
local function by_program()
  return require("exec").run("true")
end
local function by_shell()
  local status, why = os.execute("exit 0")
  if status == 0 then return true end
  return nil, why
end
local function by_other_capability()
  local other = { name = "other", input = { "go" }, invoke = function() end }
  return require("registry").register(other)
end
local function by_other_file()
  return require("registry").register("/nowhere.lua")
end
local function by_other_session()
  return require("session").open({ name = "beside", dir = os.tmpname() .. ".d" })
end
local function by_coroutine(job)
  local done = channel.new(1)
  local port = job.options.port
  coroutine.spawn(function()
    local conn, err = require("tcp").connect("127.0.0.1", port, { timeout = "10s" })
    done:send({ conn, err })
  end)
  local answer = done:receive("30s")
  return answer[1], answer[2]
end

local servers = {}

-- The text of the one result; `scope` leaves the assets of the test in scope.
local function outcome(try, scope, port, active)
  local rules = { unpack(scope) }
  for _, rule in ipairs(scope) do
    if rule:sub(1, 1) ~= "!" and #rules == #scope then
      rules[#rules + 1] = "go:**"
      rules[#rules + 1] = "r:**"
    end
  end
  local s = env.open({
    {
      name = "probe",
      input = { "go" },
      output = { "r" },
      active = active ~= false,
      options = { port = { default = port } },
      invoke = function(job)
        local ok, err = try(job)
        local text = ok and "yes" or err:kind() .. ": " .. err:message()
        job:send({ class = "r", value = text })
      end,
    },
  }, { scope = rules })
  env.run(s, "go", { "1" })
  return env.values(s, "r")[1], s
end

describe("an active capability", function()
  local port

  before_each(function()
    local server = assert(tcp.listen("127.0.0.1", 0))
    servers = { server }
    port = server:port()
    coroutine.spawn(function()
      while server:accept() do
      end
    end)
  end)
  after_each(function()
    env.close_all()
    for _, server in ipairs(servers) do
      server:close()
    end
  end)

  local function web()
    local server
    server = assert(http.listen("127.0.0.1", 0, function(request)
      if request.path ~= "/away" then return "here" end
      return { status = 302, headers = { location = "http://localhost:" .. server:port() .. "/" } }
    end))
    servers[#servers + 1] = server
    return server:port()
  end

  for _, case in ipairs({
    { "an address in a network", to_address, { "127.0.0.0/8" }, "yes" },
    { "an address outside of it", to_address, { "10.0.0.0/8" }, "no rule includes the address" },
    { "an excluded address", to_address, { "!127.0.0.1" }, "excluded by !127.0.0.1" },
    { "an excluded network", to_address, { "!127.0.0.0/8" }, "excluded by !127.0.0.0/8" },
    { "no rule at all", to_address, {}, "yes" },
    { "an address, when only names are in scope", to_address, { "**.lab.test" }, "the address" },
    { "an address, when the rules are for others", to_address, { "domain:lab.test" }, "yes" },
    { "an address, when its ports are chosen", to_address, { "port:10.0.0.1:*" }, "the address" },
    { "a pattern of addresses", to_address, { "127.0.*.*" }, "yes" },
    { "another pattern of addresses", to_address, { "10.0.*.*" }, "includes the address" },
    { "a rule that fits everything", to_address, { "**" }, "yes" },
    { "a name in scope", to_name, { "localhost" }, "yes" },
    { "a name in capitals", to_full_name, { "localhost" }, "yes" },
    { "a rule in capitals", to_name, { "!LOCALHOST" }, "excluded by !LOCALHOST" },
    { "an excluded name in capitals", to_full_name, { "!localhost" }, "excluded by !localhost" },
    { "a name outside", to_name, { "**.lab.test" }, "no rule includes the name" },
    { "a name in scope by class", to_name, { "domain:localhost" }, "yes" },
    {
      "a name excluded by class",
      to_name, { "!domain:localhost" }, "excluded by !domain:localhost",
    },
    {
      "a name in scope, at an address outside",
      to_name, { "localhost", "10.0.0.0/8" }, "the address",
    },
    {
      "a name in scope, at excluded addresses",
      to_name, { "localhost", "!127.0.0.1", "!::1" }, "excluded",
    },
    {
      "a name outside, at an address in scope",
      to_name, { "**.lab.test", "127.0.0.1" }, "the name",
    },
    { "a name, when only addresses are rules", to_name, { "127.0.0.0/8" }, "yes" },
    { "a name at an address outside", to_name, { "10.0.0.0/8" }, "no rule includes the address" },
    { "rules for classes that are no targets", to_address, { "!finding:**" }, "yes" },
    { "a port that is excluded", to_address, { "!port:*.*.*.*" }, "excluded by !port" },
    { "tls", by_tls, { "10.0.0.0/8" }, "no rule includes the address" },
    { "udp", by_udp, { "10.0.0.0/8" }, "no rule includes the address" },
    { "udp in scope", by_udp, { "127.0.0.1" }, "yes" },
    { "udp to a name in scope", by_udp_name, { "localhost" }, "yes" },
    { "udp to a name outside", by_udp_name, { "**.lab.test" }, "no rule includes the name" },
    { "a question for a name outside", by_dns, { "**.lab.test" }, "no rule includes the name" },
    { "a question for an excluded name", by_dns, { "!secret.test" }, "excluded by !secret.test" },
    {
      "a question for an address outside",
      by_reverse, { "10.0.0.0/8" }, "192.0.2.7: out of scope",
    },
    {
      "a question to a server outside",
      by_own_server, { "**.lab.test" }, "ask the server 192.0.2.1",
    },
    { "looking up a name outside", by_lookup, { "**.lab.test" }, "no rule includes the name" },
    { "a child process", by_child, { "10.0.0.0/8" }, "no rule includes the address" },
    { "a child process in scope", by_child, { "127.0.0.1" }, "yes" },
    { "a child's child", by_grandchild, { "10.0.0.0/8" }, "no rule includes the address" },
    { "a supervisor's child", by_supervisor, { "10.0.0.0/8" }, "no rule includes the address" },
    { "a supervisor's child in scope", by_supervisor, { "127.0.0.1" }, "yes" },
    { "a program", by_program, { "127.0.0.1" }, "run 'true': out of scope: programs keep to none" },
    { "a program where all is in scope", by_program, {}, "yes" },
    { "another capability", by_other_capability, { "127.0.0.1" }, "may register none" },
    { "another capability's file", by_other_file, { "127.0.0.1" }, "may register none" },
    { "a shell", by_shell, { "127.0.0.1" }, "run '/bin/sh': out of scope" },
    { "another session", by_other_session, { "127.0.0.1" }, "open no session" },
    { "a coroutine", by_coroutine, { "10.0.0.0/8" }, "no rule includes the address" },
  }) do
    local name, try, scope, expected = unpack(case)
    it(("%s: %s"):format(name, expected), function()
      local got = outcome(try, scope, port)
      assert.is_truthy(got:find(expected, 1, true), got)
      local refused = got:find("^PERMISSION_DENIED: .*out of scope: ") ~= nil
      assert.equal(expected ~= "yes", refused, got)
    end)
  end

  for _, case in ipairs({
    { "http in scope", by_http, { "127.0.0.1" }, "yes" },
    { "http outside", by_http, { "10.0.0.0/8" }, "no rule includes the address" },
    { "an excluded URL", by_http, { "!url:http://127.0.*.*" }, "excluded by !url" },
    { "a URL at an address", by_http, { "http://127.0.0.*", "10.0.0.1" }, "the address" },
    { "a URL at an address, in scope", by_http, { "http://127.0.0.*" }, "yes" },
    { "a redirect that stays in scope", by_redirect, { "127.0.0.1", "localhost" }, "yes" },
    { "a redirect that leaves it", by_redirect, { "!localhost" }, "excluded by !localhost" },
    {
      "an address chosen for a name",
      by_chosen_address, { "**.lab.test" }, "includes the address",
    },
    { "a proxy outside", by_proxy, { "**.lab.test" }, "use the proxy 127.0.0.1" },
  }) do
    local name, try, scope, expected = unpack(case)
    it(("%s: %s"):format(name, expected), function()
      local got = outcome(try, scope, web())
      assert.is_truthy(got:find(expected, 1, true), got)
    end)
  end

  it("is what others are not", function()
    assert.equal("yes", (outcome(to_address, { "10.0.0.0/8" }, port, false)))
    env.close_all()
    assert.equal("yes", (outcome(to_name, { "!localhost" }, port, false)))
  end)

  it("may not use a connection that a job of another session has opened", function()
    local path = os.tmpname() .. ".lua"
    local file = assert(io.open(path, "w"))
    file:write([[
      local tcp, time = require("tcp"), require("time")
      local cache
      return capability {
        name = "keeper", input = { "hold", "use" }, output = { "held", "r" }, active = true,
        options = { port = { default = 0 } },
        invoke = function(job, asset)
          if asset.class == "hold" then
            cache = assert(tcp.connect("127.0.0.1", job.options.port))
            job:send { class = "held", value = asset.value }
            while not job:canceled() do time.sleep("10ms") end
            return
          end
          local ok, err = pcall(cache.write, cache, "x")
          job:send { class = "r", value = tostring(ok) .. " " .. tostring(err) }
        end,
      }]])
    file:close()
    local opts = { options = { keeper = { port = port } }, grace = "100ms" }
    local first = env.open({ path }, opts)
    for i = 1, 64 do -- so that each worker has one
      assert(first:dispatch({ class = "hold", value = tostring(i) }))
    end
    env.eventually(function()
      return #env.values(first, "held") == 64
    end)
    opts.scope = { "!10.0.0.0/8" }
    local second = env.open({ path }, opts)
    env.run(second, "use", { "1" })
    local got = env.values(second, "r")[1]
    assert.is_truthy(got:find("^false .*opened for another session"), got)
    os.remove(path)
  end)

  it("leaves what was refused in the session, for why", function()
    local _, s = outcome(to_address, { "10.0.0.0/8" }, port)
    local target = "target:127.0.0.1:" .. port
    local answer = s:why_not("probe", target)
    assert.equal("rejected", answer.state)
    assert.is_truthy(answer.reason:find("out of scope: no rule includes the address", 1, true))
    local job = s:why_not("probe", "go:1")
    assert.equal("completed", job.state)
    assert.is_truthy(job.answer:find("127.0.0.1:" .. port, 1, true), job.answer)
    assert.equal(1, s:stats().rejections.scope)
  end)

  it("runs programs where it declares that it does", function()
    local s = env.open({
      {
        name = "probe",
        input = { "go" },
        output = { "r" },
        active = true,
        exec = true,
        invoke = function(job)
          local said = assert(require("exec").run("echo", { "hi" })).stdout
          job:send({ class = "r", value = said:sub(1, 2) })
        end,
      },
    }, { scope = { "go:**", "r:**" } })
    env.run(s, "go", { "1" })
    assert.same({ "hi" }, env.values(s, "r"))
  end)

  it("leaves a refused program for why", function()
    local _, s = outcome(by_program, { "127.0.0.1" }, port)
    local answer = s:why_not("probe", "target:exec:true")
    assert.equal("rejected", answer.state)
    assert.is_truthy(answer.reason:find("does not declare exec = true", 1, true), answer.reason)
  end)

  it("refuses in its setup, too", function()
    local s = env.open({
      {
        name = "probe",
        input = { "go" },
        output = { "r" },
        active = true,
        options = { port = { default = port } },
        setup = function(ctx)
          return require("tcp").connect("127.0.0.1", ctx.options.port)
        end,
        invoke = function() end,
      },
    }, { scope = { "!127.0.0.1" } })
    env.run(s, "go", { "1" })
    local job = env.job(s, { capability = "probe" })
    assert.equal("skipped", job.state)
    assert.is_truthy(job.reason:find("out of scope: excluded by !127.0.0.1", 1, true), job.reason)
  end)

  it("refuses what a gate starts, too", function()
    local s = env.open({
      {
        name = "probe",
        input = { "go" },
        output = { "r" },
        active = true,
        rate = 1000,
        match = function(asset)
          local function dial(at)
            local conn, err = require("tcp").connect("127.0.0.1", at, { timeout = "10s" })
            require("events").send("gate", "dialled", tostring(conn and "yes" or err:kind()))
          end
          assert(process.spawn(dial, tonumber(asset.value)))
          return true
        end,
        invoke = function() end,
      },
    }, { scope = { "!127.0.0.1" } })
    local sub = assert(require("events").subscribe("gate", "dialled"))
    env.run(s, "go", { tostring(port) })
    assert.equal("PERMISSION_DENIED", sub:channel():receive("30s").path)
    sub:close()
  end)
end)

-- The address that a datagram is received on.
describe("a socket of an active capability", function()
  after_each(env.close_all)

  it("may be opened, and answered from", function()
    local socket = assert(udp.open("127.0.0.1", 0))
    local got = outcome(by_udp, { "127.0.0.1" }, socket:port())
    assert.equal("yes", got)
    assert.equal("x", (socket:receive({ timeout = "30s" })))
    socket:close()
  end)
end)
