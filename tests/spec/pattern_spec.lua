--- The pattern language as scripts meet it: on the bus (W-26: the same one everywhere) and in the
--- inputs of capabilities. The rows themselves are in tests/c/test_pattern.c.
--- SPDX-License-Identifier: MIT
local events = require("events")
local registry = require("registry")

local function vectors()
  local list = {}
  for line in assert(io.open("tests/vectors/wildcard.tsv")):read("*a"):gmatch("[^\n]+") do
    local pattern, subject, expected = line:match("^([^\t]*)\t([^\t]*)\t(%a+)$")
    list[#list + 1] = { pattern = pattern, subject = subject, expected = expected == "true" }
  end
  return list
end

-- Of each vector that events can have: neither name of an event is empty, and an empty filter is
-- none.
local function usable()
  local list = {}
  for _, v in ipairs(vectors()) do
    if v.pattern ~= "" and v.subject ~= "" then
      list[#list + 1] = v
    end
  end
  return list
end

-- What a closed subscription still has, as a set of one field.
local function heard(sub, field)
  local set = {}
  sub:close()
  for event in sub:channel():values() do
    set[event[field]] = true
  end
  return set
end

local function check(list, subs, field)
  for i, v in ipairs(list) do
    local got = heard(subs[i], field)[v.subject] or false
    assert(got == v.expected, v.pattern .. " ~ " .. v.subject .. ": " .. tostring(got))
  end
end

describe("W-25 W-26 patterns", function()
  it("hold as kinds of events", function()
    local list, subs = usable(), {}
    assert.is_true(#list > 200)
    for i, v in ipairs(list) do
      subs[i] = assert(events.subscribe("pattern-kind", v.pattern))
    end
    for _, v in ipairs(list) do
      assert(events.send("pattern-kind", v.subject, "p"))
    end
    assert(events.subscribe("settle")):close()
    check(list, subs, "kind")
  end)

  it("hold as systems of events", function()
    local list, subs = usable(), {}
    for i, v in ipairs(list) do
      subs[i] = assert(events.subscribe(v.pattern, "pattern-system"))
    end
    for _, v in ipairs(list) do
      assert(events.send(v.subject, "pattern-system", "p"))
    end
    assert(events.subscribe("settle")):close()
    check(list, subs, "system")
  end)

  -- A pattern that no class can have is refused where it is declared.
  it("hold as inputs of capabilities", function()
    local held = 0
    for i, v in ipairs(vectors()) do
      local name, class = "vector-" .. i, v.subject:find("^[%w_-]+$") ~= nil
      local ok, err = registry.register({ name = name, input = { v.pattern }, invoke = print })
      if not ok then
        assert.equal("INVALID", err:kind())
        assert(not (class and v.expected), v.pattern .. " can match")
      else
        local takes = false
        for _, task in ipairs(registry.target_tasks(v.subject) or {}) do
          takes = takes or task == name
        end
        assert(registry.unregister(name))
        assert(takes == v.expected or not class, v.pattern .. " ~ " .. v.subject)
        held = held + (class and 1 or 0)
      end
    end
    assert.is_true(held > 50)
  end)

  it("are no prefixes", function()
    local sub = assert(events.subscribe("prefix.*", "made.*"))
    assert(events.send("prefix.a.b", "made.x", "deeper system"))
    assert(events.send("prefix.a", "made.x.y", "deeper kind"))
    assert(events.send("prefix", "made", "shorter"))
    assert(events.send("prefix.a", "made.x", "right"))
    assert(events.subscribe("settle")):close()
    assert.same({ right = true }, heard(sub, "path"))
  end)
end)

describe("W-23 W-24 hostile patterns", function()
  it("are refused by nobody and hold up nobody", function()
    local subs = {}
    for i = 1, 200 do
      local pattern = ("(a|h%d).%s**"):format(i, ("**.a.a.b."):rep(30))
      subs[i] = assert(events.subscribe("hostile", pattern))
    end
    subs[#subs + 1] = assert(events.subscribe("hostile", ("(a|b)."):rep(10000) .. "**"))
    subs[#subs + 1] = assert(events.subscribe("hostile", ("("):rep(50000)))
    subs[#subs + 1] = assert(events.subscribe("hostile", "(" .. ("x|"):rep(20000) .. "y)"))
    local fit = assert(events.subscribe("hostile", "**.z"))
    assert(events.send("hostile", ("a."):rep(20000) .. "z", "p"))
    assert(events.send("hostile", ("."):rep(40000) .. "z", "p"))
    assert.equal("p", fit:channel():receive(60).path)
    assert.equal("p", fit:channel():receive(60).path)
    for _, sub in ipairs(subs) do
      sub:close()
    end
    fit:close()
  end)

  it("names have a bound, which is told", function()
    local ok, err = events.send("hostile", ("a"):rep(65536), "p")
    assert.is_nil(ok)
    assert.equal("INVALID", err:kind())
    assert.is_true(events.send("hostile", ("a"):rep(65535), "p"))
  end)
end)
