--- supervisor: strategies, restarts with their delays, escalation, shutdown, live control.
-- Nothing here waits for time to pass: what a supervisor does is told on the bus, and each test
-- waits for what it expects there, or for what the children say.
-- SPDX-License-Identifier: MIT
local events = require("events")
local supervisor = require("supervisor")
local time = require("time")

local WAIT = 30
local QUICK = { initial = 0.001, max = 0.01 }

local told, said, running

-- A child that says who it is, fails when told so, and ends when asked.
local function worker(parent, id, is_awaited)
  local inbox, asked = process.inbox(), process.events()
  process.send(parent, "said", id .. " up", process.pid())
  if is_awaited then assert(require("supervisor").ready()) end
  while true do
    local got = channel.select { inbox:case_receive(), asked:case_receive() }
    if got.channel == asked then
      if got.value.kind == "CANCEL" then
        process.send(parent, "said", id .. " down")
        return
      end
    elseif got.value:topic() == "fail" then
      error(got.value:payload() or "told to fail")
    elseif got.value:topic() == "raise" then
      error(errors.new(got.value:payload()))
    elseif got.value:topic() == "exit" then
      os.exit(3)
    elseif got.value:topic() == "return" then
      return
    end
  end
end

local function child(id, more)
  local spec = { id = id, start = { worker, process.pid(), id } }
  for key, value in pairs(more or {}) do
    spec[key] = value
  end
  return spec
end

-- One that is up before the next is started. Others may be ended before their first turn: those
-- that do not hear a cancel yet are ended at once, without a word.
local function awaited(id)
  return child(id, { ready = WAIT, start = { worker, process.pid(), id, true } })
end

-- One that fails each time, once the test has taken this name.
local GO = "spec.go"
local function hopeless(id, words)
  return { id = id, start = { function(name, text)
    while not process.registry.lookup(name) do
      require("time").sleep(0.001)
    end
    error(text)
  end, GO, words } }
end

local function start(spec)
  spec.backoff = spec.backoff or QUICK
  if spec.link == nil then spec.link = false end
  local sup = assert(supervisor.start(spec))
  running[#running + 1] = sup
  return sup
end

-- The next thing a child says; its PID when it came up.
local function hear(words)
  local msg = assert(said:receive(WAIT))
  local text, pid = msg:payload()
  if words then assert.equal(words, text) end
  return pid or text, text
end

local function hear_all(count)
  local heard = {}
  for i = 1, count do
    local _, text = hear()
    heard[i] = text
  end
  return heard
end

-- The next event of this kind (and path).
local function event_of(kind, path)
  while true do
    local event = assert(told:channel():receive(WAIT))
    if event.kind == kind and (not path or event.path == path) then return event end
  end
end

local function find(sup, id)
  for _, row in ipairs(assert(sup:which_children())) do
    if row.id == id then return row end
  end
end

-- Waits until `check` answers true for the child's row.
local function row_when(sup, id, check)
  local due = time.monotonic() + WAIT
  while true do
    local row = find(sup, id)
    if check(row) then return row end
    assert(time.monotonic() < due, "the child did not get there: " .. tostring(row and row.state))
    time.sleep(0.001)
  end
end

local function state_is(state)
  return function(row) return row and row.state == state end
end

describe("supervisor", function()
  before_each(function()
    running = {}
    told = assert(events.subscribe("supervisor"))
    said = process.listen("said", { message = true })
  end)
  after_each(function()
    for _, sup in ipairs(running) do sup:stop() end
    told:close()
    process.unlisten(said)
    process.registry.unregister(GO)
    process.set_options { trap_links = false }
  end)

  it("starts in order and ends in reverse", function()
    local sup = start { children = { child("a"), child("b"), child("c") } }
    assert.same({ "a up", "b up", "c up" }, (function()
      local list = hear_all(3)
      table.sort(list) -- three senders
      return list
    end)())
    local order = {}
    for i, row in ipairs(sup:which_children()) do order[i] = row.id .. " " .. row.state end
    assert.same({ "a running", "b running", "c running" }, order)
    assert.is_true(sup:stop("enough"))
    assert.same({ "c down", "b down", "a down" }, hear_all(3))
    assert.equal("NOT_FOUND", select(2, sup:count()):kind())
  end)

  it("restarts what failed, and tells why", function()
    local sup = start { name = "spec.app", children = { child("a"), child("b") } }
    local a, b = hear(), hear()
    if find(sup, "a").pid ~= a then a, b = b, a end
    process.send(a, "fail", "broken")
    local failed = event_of("child.failed")
    assert.equal("spec.app/a", failed.path)
    assert.matches("broken", failed.data.reason.message)
    local again = event_of("child.restarting")
    assert.equal(1, again.data.attempt)
    assert.is_true(again.data.delay > 0)
    local fresh = hear("a up")
    assert.not_equal(a, fresh)
    local row = row_when(sup, "a", state_is("running"))
    assert.equal(fresh, row.pid)
    assert.equal(1, row.restarts)
    assert.equal(b, find(sup, "b").pid)
  end)

  it("one_for_all restarts all, in order", function()
    local trio = { child("a"), child("b"), child("c") }
    local sup = start { strategy = "one_for_all", children = trio }
    hear_all(3)
    local before = sup:which_children()
    process.send(before[2].pid, "fail")
    assert.same({ "c down", "a down" }, hear_all(2))
    event_of("child.restarting")
    for _, id in ipairs { "a", "b", "c" } do
      assert.matches("/" .. id .. "$", event_of("child.started").path)
    end
    local after = sup:which_children()
    for i = 1, 3 do assert.not_equal(before[i].pid, after[i].pid) end
  end)

  it("rest_for_one restarts what was started after", function()
    local trio = { child("a"), child("b"), child("c") }
    local sup = start { strategy = "rest_for_one", children = trio }
    hear_all(3)
    local before = sup:which_children()
    process.send(before[2].pid, "fail")
    assert.equal("c down", (hear()))
    event_of("child.restarting")
    assert.matches("/b$", event_of("child.started").path)
    assert.matches("/c$", event_of("child.started").path)
    local after = sup:which_children()
    assert.equal(before[1].pid, after[1].pid)
    assert.not_equal(before[2].pid, after[2].pid)
    assert.not_equal(before[3].pid, after[3].pid)
  end)

  it("restart: permanent always, transient after errors, temporary never", function()
    local sup = start {
      children = {
        child("permanent"),
        child("transient", { restart = "transient" }),
        child("temporary", { restart = "temporary" }),
      },
    }
    hear_all(3)
    process.send(find(sup, "permanent").pid, "return")
    hear("permanent up")
    process.send(find(sup, "transient").pid, "fail")
    process.send(hear("transient up"), "return")
    assert.is_nil(row_when(sup, "transient", state_is("stopped")).pid)
    process.send(find(sup, "temporary").pid, "fail")
    row_when(sup, "temporary", function(row) return row == nil end)
    assert.equal(2, sup:count().children)
  end)

  it("W-56: delays grow by the factor up to the maximum, within the jitter", function()
    local sup = start {
      backoff = { initial = 0.002, factor = 3, max = 0.03, jitter = 0.1, stable = "1h" },
      children = { child("a") },
    }
    for attempt, expected in ipairs { 0.002, 0.006, 0.018, 0.03, 0.03 } do
      process.send(hear("a up"), "fail")
      local event = event_of("child.restarting")
      assert.equal(attempt, event.data.attempt)
      assert.is_true(event.data.delay >= expected * 0.9 - 1e-9, tostring(event.data.delay))
      assert.is_true(event.data.delay <= expected * 1.1 + 1e-9, tostring(event.data.delay))
    end
    hear("a up")
    assert.equal(5, find(sup, "a").restarts)
  end)

  it("W-56: its defaults", function()
    assert.same({
      backoff = { initial = 1, factor = 2, max = 90, jitter = 0.1, attempts = 0, stable = 5 },
      start = 10,
      shutdown = 10,
      terminal = { "CANCELED", "INVALID", "PERMISSION_DENIED" },
    }, supervisor.defaults())
  end)

  it("W-56: running past `stable` resets the counter", function()
    start { backoff = { initial = 0.001, attempts = 1, stable = 0 }, children = { child("a") } }
    for _ = 1, 5 do
      process.send(hear("a up"), "fail")
      assert.equal(1, event_of("child.restarting").data.attempt)
    end
    hear("a up")
  end)

  it("W-56: attempts 0 is without end", function()
    local sup = start { children = { { id = "a", start = function() error("at once") end } } }
    row_when(sup, "a", function(row) return row.restarts >= 10 end)
  end)

  for _, kind in ipairs { "INVALID", "PERMISSION_DENIED" } do
    it("W-56: an error of kind " .. kind .. " is not retried", function()
      local sup = start { children = { child("a"), child("b") } }
      hear_all(2)
      process.send(find(sup, "a").pid, "raise", { message = "never", kind = kind })
      local row = row_when(sup, "a", state_is("failed"))
      assert.equal("never", row.reason)
      assert.equal(0, row.restarts)
      assert.equal("running", find(sup, "b").state)
      assert.is_true(event_of("child.failed").data.terminal)
    end)
  end

  it("W-56: unless it says that it may be, or the list says otherwise", function()
    local trio = { child("a"), child("b"), child("c") }
    local sup = start { terminal = { "NOT_FOUND" }, children = trio }
    hear_all(3)
    process.send(find(sup, "a").pid, "raise", { message = "x", kind = "INVALID" })
    hear("a up")
    local again = { message = "x", kind = "NOT_FOUND", retryable = true }
    process.send(find(sup, "b").pid, "raise", again)
    hear("b up")
    process.send(find(sup, "c").pid, "raise", { message = "x", kind = "NOT_FOUND" })
    row_when(sup, "c", state_is("failed"))
  end)

  it("W-56: a cancelled child and an explicit exit stay ended", function()
    local sup = start { children = { child("a"), child("b") } }
    hear_all(2)
    process.terminate(find(sup, "a").pid)
    assert.equal("terminated", row_when(sup, "a", state_is("stopped")).reason)
    process.send(find(sup, "b").pid, "exit")
    row_when(sup, "b", state_is("stopped"))
    assert.equal(0, sup:count().running)
  end)

  it("gives up when the attempts are used up, with the reason", function()
    local sup = start {
      name = "spec.gives.up",
      backoff = { initial = 0.001, attempts = 2, stable = "1h" },
      children = { awaited("other"), hopeless("a", "hopeless") },
    }
    process.monitor(sup:pid())
    assert(process.registry.register(GO))
    local event = process.events():receive(WAIT)
    assert.equal("UNAVAILABLE", event.result.error:kind())
    local message = event.result.error:message()
    assert.matches("spec.gives.up", message, 1, true)
    assert.matches("child 'a' failed after 2 restarts", message, 1, true)
    assert.matches("hopeless", message)
    assert.same({ "other up", "other down" }, { select(2, hear()), select(2, hear()) })
    assert.equal("a", event_of("supervisor.gave_up").data.child)
    assert.equal("NOT_FOUND", select(2, process.registry.lookup("spec.gives.up")):kind())
  end)

  it("gives up at more restarts than its intensity allows, of any children", function()
    local sup = start {
      intensity = { restarts = 2, period = "1h" },
      children = { child("a"), child("b") },
    }
    hear_all(2)
    for _, id in ipairs { "a", "b", "a" } do
      process.monitor(sup:pid())
      process.send(row_when(sup, id, state_is("running")).pid, "fail")
      event_of("child.failed")
    end
    local exit = process.events():receive(WAIT)
    assert.matches("one restart too many", exit.result.error:message(), 1, true)
  end)

  it("escalates through two levels", function()
    local crash = hopeless("crash", "deep down")
    local few = { initial = 0.001, attempts = 1, stable = "1h" }
    local inner = { children = { crash }, backoff = few }
    local middle = { children = { { id = "inner", supervisor = inner } }, backoff = few }
    local sup = start {
      name = "spec.tree",
      backoff = few,
      children = { awaited("beside"), { id = "middle", supervisor = middle } },
    }
    process.monitor(sup:pid())
    assert(process.registry.register(GO))
    assert.matches("/middle/inner$", event_of("supervisor.gave_up").path)
    local message = process.events():receive(WAIT).result.error:message()
    for _, part in ipairs { "spec.tree", "middle", "inner", "crash", "deep down" } do
      assert.matches(part, message, 1, true)
    end
    assert.equal("beside down", select(2, hear(), hear()))
  end)

  it("keeps a tree: the inner one restarts alone", function()
    local inner = { name = "spec.sub", backoff = QUICK, children = { child("in") } }
    local sup = start { children = { child("outer"), { id = "sub", supervisor = inner } } }
    hear_all(2)
    local sub = assert(supervisor.at("spec.sub"))
    process.send(find(sub, "in").pid, "fail")
    hear("in up")
    assert.equal("supervisor", find(sup, "sub").type)
    assert.same({ children = 2, running = 2, workers = 1, supervisors = 1 }, sup:count())
    sup:stop()
    assert.same({ "in down", "outer down" }, hear_all(2))
  end)

  it("terminates a child that ignores cancel after its grace", function()
    local function deaf(parent)
      local asked = process.events()
      process.send(parent, "said", "deaf up")
      asked:receive()
      process.send(parent, "said", "deaf heard it")
      while true do end
    end
    local heard
    for _, grace in ipairs { 0.05, 1, 10 } do -- until it had a turn within it
      local row = { id = "deaf", shutdown = grace, start = { deaf, process.pid() } }
      local sup = start { children = { row } }
      hear("deaf up")
      local pid = find(sup, "deaf").pid
      process.monitor(pid)
      assert.is_true(sup:stop())
      local exit = process.events():receive(WAIT)
      assert.equal(pid, exit.from)
      assert.equal("CANCELED", exit.result.error:kind())
      heard = said:receive(1)
      if heard then break end
    end
    assert.equal("deaf heard it", (assert(heard):payload()))
  end)

  it("ends at once what cannot hear a cancel, and what has no grace", function()
    local sup = start {
      shutdown = "1h",
      children = {
        { id = "unhearing", start = function() process.inbox():receive() end },
        child("graceless", { shutdown = 0 }),
      },
    }
    hear("graceless up")
    assert.is_true(sup:stop())
    process.send(process.pid(), "said", "nothing before")
    hear("nothing before")
  end)

  it("waits for children that say when they are ready", function()
    local sup = start {
      children = {
        {
          id = "slow",
          ready = "30s",
          start = { function(parent)
            process.send(parent, "said", "slow works")
            require("time").sleep(0.02)
            process.send(parent, "said", "slow is ready")
            assert(require("supervisor").ready())
            process.inbox():receive()
          end, process.pid() },
        },
        child("next"),
      },
    }
    assert.same({ "slow works", "slow is ready", "next up" }, hear_all(3))
    assert.equal("running", find(sup, "slow").state)
  end)

  it("does not start when a child does not: those before it are ended", function()
    local sup, err = supervisor.start {
      children = {
        awaited("first"),
        { id = "never", ready = "20ms", start = function() process.inbox():receive() end },
      },
    }
    assert.is_nil(sup)
    assert.equal("TIMEOUT", err:kind())
    assert.matches("child 'never': not ready within 0.02 s", err:message(), 1, true)
    assert.same({ "first up", "first down" }, hear_all(2))
    sup, err = supervisor.start {
      children = { { id = "x", ready = true, start = function() error("no way") end } },
    }
    assert.is_nil(sup)
    assert.matches("child 'x': .*no way", err:message())
  end)

  it("is controlled while it runs", function()
    local sup = start {}
    assert.same({}, sup:which_children())
    local pid = assert(sup:start_child(child("a", { backoff = { attempts = 7 } })))
    assert.equal(pid, hear("a up"))
    local none, err = sup:start_child(child("a"))
    assert.is_nil(none)
    assert.equal("ALREADY_EXISTS", err:kind())
    none, err = sup:delete_child("a")
    assert.is_nil(none)
    assert.equal("CONFLICT", err:kind())
    assert.is_true(sup:terminate_child("a"))
    hear("a down")
    assert.equal("stopped", find(sup, "a").state)
    local fresh = assert(sup:restart_child("a"))
    assert.equal(fresh, hear("a up"))
    local fresher = assert(sup:restart_child("a"))
    hear("a down")
    assert.equal(fresher, hear("a up"))
    sup:terminate_child("a")
    assert.is_true(sup:delete_child("a"))
    assert.same({}, sup:which_children())
    for _, call in ipairs { "terminate_child", "restart_child", "delete_child" } do
      none, err = sup[call](sup, "a")
      assert.is_nil(none)
      assert.equal("NOT_FOUND", err:kind())
      assert.has_error(function() sup[call](sup, 5) end)
    end
  end)

  it("shows a child that waits for its restart, which can be taken back", function()
    local hour = { initial = "1h", max = "1h", jitter = 0 }
    local sup = start { backoff = hour, children = { child("a") } }
    process.send(hear("a up"), "fail")
    local row = row_when(sup, "a", state_is("waiting"))
    assert.is_nil(row.pid)
    assert.is_true(row.delay > 3000 and row.delay <= 3600)
    assert.matches("told to fail", row.reason)
    assert(sup:restart_child("a"))
    process.send(hear("a up"), "fail")
    row_when(sup, "a", state_is("waiting"))
    assert.is_true(sup:terminate_child("a"))
    assert.equal("stopped", find(sup, "a").state)
  end)

  it("runs children from files, read again at each start", function()
    local path = os.tmpname() .. ".lua"
    local function write(text)
      local file = assert(io.open(path, "w"))
      file:write(text)
      file:close()
    end
    write("return function(to) process.send(to, 'said', 'first') process.inbox():receive() end")
    local sup = start { children = { { id = "file", start = { path, process.pid() } } } }
    hear("first")
    write("local to = ... process.send(to, 'said', 'second') process.inbox():receive()")
    process.send(find(sup, "file").pid, "x")
    hear("second")
    os.remove(path)
  end)

  it("is linked to who started it, both ways", function()
    process.set_options { trap_links = true }
    local sup = start {
      link = true,
      backoff = { initial = 0.001, attempts = 1, stable = "1h" },
      children = { { id = "a", start = function() error("x") end } },
    }
    local event = process.events():receive(WAIT)
    assert.equal("LINK_DOWN", event.kind)
    assert.equal(sup:pid(), event.from)
    process.spawn(function(parent)
      local own = require("supervisor")
      local s = own.start { children = { { id = "kept", ready = "30s", start = { function(to)
        local asked = process.events()
        process.send(to, "said", "kept up", process.pid())
        assert(require("supervisor").ready())
        asked:receive()
        process.send(to, "said", "kept down")
      end, parent } } } }
      error("the owner fails" .. s:pid())
    end, process.pid())
    hear("kept up")
    hear("kept down")
  end)

  it("ends with `wait`: true, or why it gave up", function()
    local sup = start { children = { child("a") } }
    coroutine.spawn(function()
      hear("a up")
      sup:stop()
    end)
    assert.is_true(sup:wait())
    local other = start {
      backoff = { initial = 0.02, jitter = 0, attempts = 1, stable = "1h" },
      children = { { id = "b", start = function() process.inbox():receive() error("lost") end } },
    }
    coroutine.spawn(function()
      for i = 1, 2 do
        local row = row_when(other, "b", function(b) return b.pid and b.restarts == i - 1 end)
        process.send(row.pid, "x")
      end
    end)
    local ok, err = other:wait()
    assert.is_nil(ok)
    assert.matches("lost", err:message())
  end)

  it("answers callers when it is killed", function()
    local sup = start { children = { child("a") } }
    local pid = hear("a up")
    process.monitor(pid)
    coroutine.spawn(function() process.terminate(sup:pid()) end)
    local ok, err = sup:wait()
    assert.is_nil(ok)
    assert.equal("NOT_FOUND", err:kind())
    assert.equal(pid, process.events():receive(WAIT).from) -- linked, so it went along
  end)

  it("tells who is no supervisor, and knows its parent", function()
    local pid = process.spawn(function() process.inbox():receive() end)
    local none, err = supervisor.at(pid):count()
    assert.is_nil(none)
    assert.equal("INVALID", err:kind())
    process.terminate(pid)
    none, err = supervisor.at("nobody")
    assert.is_nil(none)
    assert.equal("NOT_FOUND", err:kind())
    assert.is_nil(supervisor.parent())
    assert.equal("INVALID", select(2, supervisor.ready()):kind())
    local sup = start {
      children = { { id = "a", start = { function(to)
        process.send(to, "said", require("supervisor").parent())
        process.inbox():receive()
      end, process.pid() } } },
    }
    assert.equal(sup:pid(), (hear()))
  end)
end)
