--- What cannot be encoded harms nobody: neither the next message of this VM, nor its memory.
-- SPDX-License-Identifier: MIT
local events = require("events")
local log = require("log")
local env = require("session_env")
local session = require("session")

local function nested(depth, twice)
  local t = {}
  for _ = 1, depth do
    t = { t, twice and t or nil }
  end
  return t
end

-- Call it with ever less of the stack left, until nothing is: in the end it raises half-way.
-- Answers how often it did, and how often it answered nil.
local function on_a_full_stack(call)
  local raised, refused = 0, 0
  local function go()
    local ok, answer = pcall(call)
    if not ok then
      raised = raised + 1
    elseif answer == nil then
      refused = refused + 1
    end
    return 1 + go()
  end
  assert.is_false((pcall(go)))
  return raised, refused
end

describe("encoding that ends in an error", function()
  local deep = nested(100)

  it("leaves nothing to the next event", function()
    local sub = assert(events.subscribe("encode.full", nil, { buffer = 1 }))
    local raised, refused = on_a_full_stack(function()
      return events.send("encode.full", "k", "p", deep)
    end)
    assert.is_true(raised > 0)
    assert.equal(0, refused)
    assert(events.send("encode.full", "k", "p", 1))
    assert(events.send("encode.full", "k", "p", 1))
    sub:close()
  end)

  it("leaves nothing to the next message", function()
    local got, self = process.listen("encode.got"), process.pid()
    local raised, refused = on_a_full_stack(function()
      return process.send(self, "encode.nobody", deep)
    end)
    assert.is_true(raised > 0)
    assert.equal(0, refused)
    assert(process.send(self, "encode.got", "good"))
    assert.equal("good", (got:receive(30)))
    process.unlisten(got)
  end)

  it("leaves nothing to the fields of a log line", function()
    local raised = on_a_full_stack(function()
      log.debug("full", deep)
      return true
    end)
    assert.is_true(raised > 0)
  end)

  -- the program could not end while one of them is on its way
  it("leaves no operation of a session behind", function()
    local s = assert(session.open({ name = "encode", dir = env.dir, capabilities = {} }))
    local raised = on_a_full_stack(function()
      return s:dispatch({ class = "a", value = deep })
    end)
    assert.is_true(raised > 0)
    assert.is_true(s:close())
  end)
end)

describe("a value that holds the same parts again and again", function()
  it("is refused, not written out for ever", function()
    local sub = assert(events.subscribe("encode.large"))
    local sent, err = events.send("encode.large", "k", "p", nested(100, true))
    assert.is_nil(sent)
    assert.equal("INVALID", err:kind())
    assert.truthy(err:message():find("too large", 1, true))
    assert(events.send("encode.large", "k", "p", nested(10, true)))
    sub:close()
  end)
end)
