--- The flow that declarations imply, before anything runs.
local registry = require("registry")

local function add(name, input, output, priority)
  assert(registry.register({
    name = name, input = input, output = output, priority = priority, invoke = function() end,
  }))
end

local function remove_all()
  for _, map in ipairs(registry.list()) do
    registry.unregister(map.name)
  end
end

local function edges(plan)
  local texts = {}
  for i, edge in ipairs(plan.edges) do
    texts[i] = edge.from .. " -" .. edge.class .. "-> " .. edge.to
  end
  return texts
end

describe("a plan", function()
  after_each(remove_all)

  it("of nothing is empty", function()
    assert.same({ capabilities = {}, edges = {}, cycles = {}, warnings = {} }, registry.plan())
  end)

  it("lists capabilities by priority", function()
    add("b", { "x" }, { "y" }, 9)
    add("a", { "y" }, {}, 1)
    local plan = registry.plan()
    assert.equal("a", plan.capabilities[1].name)
    assert.same({ "x" }, plan.capabilities[2].input)
    assert.same({ "y" }, plan.capabilities[2].output)
    assert.equal(9, plan.capabilities[2].priority)
  end)

  it("has an edge for each class that leads on", function()
    add("dns", { "domain" }, { "ipv4", "domain" })
    add("scan", { "ipv4" }, { "port" })
    add("all", { "*" }, {})
    assert.same({
      "dns -domain-> dns", "dns -ipv4-> scan", "dns -ipv4-> all", "dns -domain-> all",
      "scan -port-> all",
    }, edges(registry.plan()))
  end)

  it("tells cycles once, in the order of a walk", function()
    add("one", { "a" }, { "b" })
    add("two", { "b" }, { "c" })
    add("three", { "c" }, { "a" })
    add("self", { "d" }, { "d" })
    local plan = registry.plan()
    assert.same({ { "one", "two", "three" }, { "self" } }, plan.cycles)
    assert.matches("cycle: one %-> two %-> three %-> one", table.concat(plan.warnings, "\n"))
  end)

  it("warns of inputs that nothing has as output, and of what stands alone", function()
    add("first", { "seed" }, { "b" })
    add("second", { "b" }, {})
    add("lost", { "typo" }, { "nowhere" })
    local text = table.concat(registry.plan().warnings, "\n")
    assert.matches("undeclared input: no capability has 'seed' as output", text)
    assert.matches("'typo' as output, which 'lost' takes", text)
    assert.matches("unreachable capability: [^\n]*'lost'", text)
    assert.is_nil(text:find("second", 1, true))
  end)
end)
