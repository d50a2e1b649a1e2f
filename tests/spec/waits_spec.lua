--- Wherever a script can wait, it can be cancelled, terminated and timed out: every function that
-- waits, once with each. A wait suspends its coroutine only, so another one hears CANCEL meanwhile.
-- SPDX-License-Identifier: MIT
local fs = require("fs")
local time = require("time")

local WAIT = 30

-- Code of a process that comes to wait for ever. `limit` is its time-out (nil: none), `ready` is to
-- be called right before the wait. `timed`: it takes a time-out.
local silent = [[
  local server = assert(tcp.listen("127.0.0.1", 0))
  coroutine.spawn(function() held = {} while true do held[#held + 1] = server:accept() end end)
]]
local peer = silent .. [[
  local conn = assert(tcp.connect("127.0.0.1", server:port()))
]]
local waits = {
  { "inbox", true, [[ local ch = process.inbox() ready() return ch:receive(limit) ]] },
  { "inbox values", false, [[ local ch = process.inbox() ready() for _ in ch:values() do end ]] },
  { "listen", true, [[ local ch = process.listen("t") ready() return ch:receive(limit) ]] },
  { "process.exec", false, [[
      ready() return process.exec(function() process.inbox():receive() end) ]] },
  { "channel receive", true, [[ ready() return channel.new():receive(limit) ]] },
  { "channel send", false, [[ ready() return channel.new():send(1) ]] },
  { "channel values", false, [[ ready() for _ in channel.new():values() do end ]] },
  { "channel.select receiving", true, [[
      ready() return channel.select { channel.new():case_receive(), timeout = limit } ]] },
  { "channel.select sending", true, [[
      ready() return channel.select { channel.new():case_send(1), timeout = limit } ]] },
  { "channel.select of nothing", true, [[
      ready() return channel.select { timeout = limit or "1h" } ]] },
  { "a wait in nested coroutines", true, [[
      local inner = coroutine.wrap(function() return channel.new():receive(limit) end)
      ready() return coroutine.wrap(function() return inner() end)() ]] },
  { "a wait inside pcall", true, [[
      ready()
      local function wait() return channel.new():receive(limit) end
      return select(2, pcall(pcall, wait)) ]] },
  { "a wait inside table.sort", true, [[
      local err
      ready()
      table.sort({ 3, 2, 1 }, function(a, b)
        if not err then err = select(3, channel.new():receive(limit)) end
        return a < b
      end)
      return nil, err ]] },
  { "time.sleep", false, [[ ready() return time.sleep("1h") ]] },
  { "time.after", true, [[ ready() return time.after("1h"):receive(limit) ]] },
  { "time.timer", true, [[
      local t = time.timer("1h") ready() return t:channel():receive(limit) ]] },
  { "time.ticker", true, [[
      local t = time.ticker("1h") ready() return t:channel():receive(limit) ]] },
  { "events.subscribe", true, [[
      local sub = assert(events.subscribe("waits", "nothing")) ready()
      return sub:channel():receive(limit) ]] },
  { "events waiter", true, [[
      local awaiter = events.awaiter("waits", "nothing")
      local waiter = assert(awaiter:prepare("p", { timeout = limit or "1h" }))
      ready() return waiter:wait() ]] },
  { "closing a subscriber", false, [[
      local running = channel.new()
      local on = assert(events.on("waits", "close", function()
        running:send(true)
        time.sleep("1h")
      end))
      events.send("waits", "close", "p")
      running:receive()
      ready() return on:close() ]] },
  { "tcp accept", true, [[
      local server = assert(tcp.listen("127.0.0.1", 0)) ready()
      return server:accept({ timeout = limit }) ]] },
  { "tcp read", true, peer .. [[ ready() return conn:read({ timeout = limit }) ]] },
  { "tcp read of bytes", true, peer .. [[ ready() return conn:read(5, { timeout = limit }) ]] },
  { "tcp read of a line", true, peer .. [[
      ready() return conn:read("line", { timeout = limit }) ]] },
  { "tcp read of all", true, peer .. [[ ready() return conn:read("all", { timeout = limit }) ]] },
  { "tcp write", true, peer .. [[
      local big = ("x"):rep(1000000) ready()
      for _ = 1, 1000 do
        local ok, err = conn:write(big, { timeout = limit })
        if not ok then return nil, err end
      end ]] },
  { "udp receive", true, [[
      local socket = assert(udp.open("127.0.0.1", 0)) ready()
      return socket:receive({ timeout = limit }) ]] },
  { "tls handshake", true, silent .. [[
      ready() return tls.connect("127.0.0.1", server:port(), { timeout = limit or "1h" }) ]] },
  { "http.get", true, silent .. [[
      ready()
      return http.get("http://127.0.0.1:" .. server:port(), { timeout = limit or "1h" }) ]] },
  { "http.get over tls", true, silent .. [[
      ready()
      return http.get("https://127.0.0.1:" .. server:port(), { timeout = limit or "1h" }) ]] },
  { "dns.resolve", true, [[
      local mute = assert(udp.open("127.0.0.1", 0)) ready()
      return dns.resolve("name.test", "A",
        { server = "127.0.0.1:" .. mute:port(), timeout = limit or "1h", tries = 1 }) ]] },
  { "exec.run", true, [[ ready() return exec.run("sleep", { "1000" }, { timeout = limit }) ]] },
  { "io.popen", false, [[ local f = io.popen("sleep 1000") ready() return f:read("*a") ]] },
  { "os.execute", false, [[ ready() return os.execute("sleep 1000") ]] },
  { "fs.watch", true, [[
      local watch = assert(fs.watch(dir)) ready() return watch:channel():receive(limit) ]] },
  { "session wait", true, [[
      local s = assert(session.open { name = "waits", dir = dir })
      ready() return s:wait(limit) ]] },
  { "supervisor wait", false, [[
      local sup = assert(supervisor.start {}) ready() return sup:wait() ]] },
  { "supervisor start", true, [[
      ready()
      return supervisor.start { children = { {
        id = "a", ready = limit or "1h", start = function() process.inbox():receive() end
      } } } ]] },
}

-- Runs in a process of its own: hears CANCEL in one coroutine, waits in another.
-- With `collect`, all that is not kept is collected meanwhile.
local function waiting(code, dir, limit, to, collect)
  local env = { dir = dir, limit = limit }
  for _, name in ipairs { "dns", "events", "exec", "fs", "http", "session", "supervisor", "tcp",
    "time", "tls", "udp" } do
    env[name] = require(name)
  end
  function env.ready() process.send(to, "said", "ready") end
  local fn = assert(loadstring(code))
  setfenv(fn, setmetatable(env, { __index = _G }))
  if collect then
    function env.ready()
      coroutine.spawn(function()
        for _ = 1, 200 do
          collectgarbage("step", 10000)
          env.time.sleep(0)
        end
        process.send(to, "said", "ready")
      end)
    end
  elseif not limit then
    local asked = process.events()
    coroutine.spawn(function()
      for event in asked:values() do
        if event.kind == "CANCEL" then
          process.send(to, "said", "heard " .. event.reason)
          os.exit()
        end
      end
    end)
  end
  local function describe(...)
    for i = 1, select("#", ...) do
      local value = select(i, ...)
      if type(value) == "table" and value.timeout then return "TIMEOUT" end
      if type(value) == "table" and value.kind then return value:kind() end
    end
    return "came back"
  end
  return describe(fn())
end

describe("a wait", function()
  local dir, said

  before_each(function()
    dir = assert(fs.temp_dir("waits-"))
    said = process.listen("said")
  end)
  after_each(function()
    process.unlisten(said)
    fs.remove(dir, { recursive = true })
  end)

  local function start(code, limit, collect)
    local me = process.pid()
    local pid = assert(process.spawn_monitored(waiting, code, dir, limit, me, collect))
    assert.equal("ready", (said:receive(WAIT)))
    return pid
  end

  local function exit_of(pid)
    local event = assert(process.events():receive(WAIT))
    assert.equal(pid, event.from)
    return event.result
  end

  -- It said that it is about to; now it does.
  local function until_waiting(pid)
    local due = time.monotonic() + WAIT
    while time.monotonic() < due do
      for _, row in ipairs(process.list()) do
        if row.pid == pid and row.state == "waiting" then return end
      end
      time.sleep(0.001)
    end
    error("it never waited")
  end

  for _, wait in ipairs(waits) do
    local name, timed, code = wait[1], wait[2], wait[3]
    it("is terminated: " .. name, function()
      local pid = start(code)
      until_waiting(pid)
      assert.is_true(process.terminate(pid))
      assert.equal("CANCELED", exit_of(pid).error:kind())
    end)
    it("hears a cancel: " .. name, function()
      local pid = start(code)
      until_waiting(pid)
      assert.is_true(process.cancel(pid, "enough"))
      assert.equal("heard enough", (said:receive(WAIT)))
      assert.is_nil(exit_of(pid).error)
    end)
    it("keeps what it waits for: " .. name, function()
      local pid = start(code, nil, true)
      process.terminate(pid)
      local result = exit_of(pid)
      assert.is_nil(result.value)
      assert.equal("CANCELED", result.error:kind())
    end)
    if timed then
      it("times out: " .. name, function()
        local pid = start(code, 0.02)
        local result = exit_of(pid)
        assert.equal("TIMEOUT", result.value, result.error and result.error:message())
      end)
    end
  end

  it("for a process's events is ended by the cancel itself", function()
    local pid = process.spawn_monitored(function(to)
      local asked = process.events()
      process.send(to, "said", "ready")
      return asked:receive().reason
    end, process.pid())
    said:receive(WAIT)
    process.cancel(pid, "now")
    assert.equal("now", exit_of(pid).value)
    assert.equal("TIMEOUT", select(3, process.events():receive(0.01)):kind())
  end)
end)

describe("a job", function()
  local MODULES = { "dns", "events", "exec", "fs", "http", "session", "supervisor", "tcp", "time",
    "tls", "udp" }

  local function capability_file(dir, number, code)
    local lines = {}
    for i, name in ipairs(MODULES) do
      lines[i] = ("local %s = require('%s')"):format(name, name)
    end
    local path, own = ("%s/w%d.lua"):format(dir, number), ("%s/%d"):format(dir, number)
    assert(fs.mkdir(own))
    assert(fs.write(path, table.concat(lines, " ") .. ([[

      return capability {
        name = "w%d", input = { "w%d" }, output = {}, timeout = "50ms", retries = 0,
        invoke = function()
          local dir, limit, ready = %q, nil, function() end
          local function wait() %s end
          local value, err = wait()
          error(("came back: %%s, %%s"):format(tostring(value), tostring(err)))
        end,
      }]]):format(number, number, own, code)))
    return path
  end

  it("is ended by its timeout in each of these waits", function()
    local session = require("session")
    local dir = assert(fs.temp_dir("waits-jobs-"))
    local files = {}
    for i, wait in ipairs(waits) do files[i] = capability_file(dir, i, wait[3]) end
    local s = assert(session.open { name = "jobs", dir = dir, capabilities = files })
    for i in ipairs(waits) do assert(s:dispatch { class = "w" .. i, value = "x" }) end
    assert(s:wait(60))
    local seen = 0
    for job in s:jobs() do
      local name = waits[tonumber(job.capability:match("%d+"))][1]
      assert.equal("failed", job.state, name)
      assert.equal("TIMEOUT", job.errors[1].kind, name .. ": " .. tostring(job.errors[1].message))
      seen = seen + 1
    end
    assert.equal(#waits, seen)
    s:close()
    for i in ipairs(waits) do require("registry").unregister("w" .. i) end
    fs.remove(dir, { recursive = true })
  end)
end)
