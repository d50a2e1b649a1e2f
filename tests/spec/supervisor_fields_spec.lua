--- supervisor: a faulty declaration is refused with the place of its fault.
-- SPDX-License-Identifier: MIT
local supervisor = require("supervisor")

describe("supervisor specs", function()
  local upvalue = 1
  local quiet = function() end
  local cases = {
    { "strategy: one_for_one, one_for_all or rest_for_one expected, got 'all'",
      { strategy = "all" } },
    { "strategie: no such field", { strategie = "one_for_all" } },
    { "name: name expected, got ''", { name = "" } },
    { "children: list expected, got '5'", { children = 5 } },
    { "children[1]: table expected, got 'x'", { children = { "x" } } },
    { "children[1].id: name expected, got nil", { children = { { start = quiet } } } },
    { "children[2].id: name of its own expected, got 'a'",
      { children = { { id = "a", start = quiet }, { id = "a", start = quiet } } } },
    { "children[1].restart: permanent, transient or temporary expected, got 'always'",
      { children = { { id = "a", start = quiet, restart = "always" } } } },
    { "children[1].start: either this or 'supervisor' expected, got nil",
      { children = { { id = "a" } } } },
    { "children[1].start: path, module or function, or a list of it and arguments, expected, "
      .. "got '5'",
      { children = { { id = "a", start = 5 } } } },
    { "children[1].start: the function has the upvalue 'upvalue': pass it as an argument",
      { children = { { id = "a", start = function() return upvalue end } } } },
    { "children[1].shutdown: duration expected, got '-1'",
      { children = { { id = "a", start = quiet, shutdown = -1 } } } },
    { "children[1].ready: duration expected, got 'soon'",
      { children = { { id = "a", start = quiet, ready = "soon" } } } },
    { "children[1].grace: no such field",
      { children = { { id = "a", start = quiet, grace = 1 } } } },
    { "children[1].supervisor.strategy: one_for_one, one_for_all or rest_for_one expected, got 'x'",
      { children = { { id = "a", supervisor = { strategy = "x" } } } } },
    { "backoff.factor: number, 1 or more, expected, got '0.5'", { backoff = { factor = 0.5 } } },
    { "backoff.jitter: number from 0 to 1 expected, got '2'", { backoff = { jitter = 2 } } },
    { "backoff.attempts: whole number, 0 or more, expected, got '1.5'",
      { backoff = { attempts = 1.5 } } },
    { "backoff.initial: duration expected, got 'x'", { backoff = { initial = "x" } } },
    { "backoff.speed: no such field", { backoff = { speed = 1 } } },
    { "intensity.period: duration expected, got nil", { intensity = { restarts = 3 } } },
    { "terminal[1]: name expected, got '5'", { terminal = { 5 } } },
  }
  for _, case in ipairs(cases) do
    it("name the field: " .. case[1], function()
      local sup, err = supervisor.start(case[2])
      assert.is_nil(sup)
      assert.equal("INVALID", err:kind())
      assert.equal(case[1], err:message())
    end)
  end

  it("say which source is missing, and what cannot be copied", function()
    local sup, err = supervisor.start { children = { { id = "a", start = "./no/such.lua" } } }
    assert.is_nil(sup)
    assert.equal("NOT_FOUND", err:kind())
    assert.matches("children[1].start: ./no/such.lua", err:message(), 1, true)
    sup, err = supervisor.start { children = { { id = "a", start = { quiet, { cb = print } } } } }
    assert.is_nil(sup)
    assert.equal("INVALID", err:kind())
    assert.matches("cb: function", err:message(), 1, true)
    assert.has_error(function() supervisor.start("x") end)
  end)
end)
