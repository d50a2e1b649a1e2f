--- json: what is read, what is written, and what is refused with its place.
-- SPDX-License-Identifier: MIT
local json = require("json")

describe("json.decode", function()
  it("reads every kind of value", function()
    local value = json.decode([[ {"a":[1,2.5,-3e2,true,false],"b":{"c":"x"},"d":null} ]])
    assert.same({ 1, 2.5, -300, true, false }, value.a)
    assert.equal("x", value.b.c)
    assert.equal(json.null, value.d)
    assert.equal(json.null, json.decode("null"))
    assert.equal(7, json.decode("7"))
    assert.equal("s", json.decode('"s"'))
    assert.is_false(json.decode("false"))
  end)

  it("reads escapes", function()
    assert.equal('"\\/\b\f\n\r\t', json.decode([["\"\\\/\b\f\n\r\t"]]))
    assert.equal("é😀", json.decode([["\u00e9\ud83d\ude00"]]))
    assert.equal("\239\191\189x", json.decode([["\ud800x"]]))
    assert.equal("\0", json.decode([["\u0000"]]))
  end)

  it("reads numbers exactly while a number of Lua can", function()
    assert.equal(9007199254740992, json.decode("9007199254740992"))
    assert.equal(-9007199254740991, json.decode("-9007199254740991"))
    assert.equal(0.1, json.decode("0.1"))
    assert.equal(1e300, json.decode("1e300"))
    assert.equal(12345678901234567890, json.decode("12345678901234567890"))
  end)

  it("skips a byte order mark and white space", function()
    assert.same({ 1 }, json.decode("\239\187\191 \r\n\t[ 1 ] \n"))
  end)

  local bad = {
    { "", "line 1, column 1: value expected" },
    { "[1,]", "line 1, column 4: value expected" },
    { '{"a":1,}', "line 1, column 8: '\"' expected" },
    { '{"a"}', "line 1, column 5: ':' expected" },
    { "[1 2]", "line 1, column 4: ',' or ']' expected" },
    { '{"a":1 "b"', "line 1, column 8: ',' or '}' expected" },
    { '{\n "a": tru\n}', "line 2, column 7: value expected" },
    { "[1]x", "line 1, column 4: end of text expected" },
    { '["a', "unfinished string" },
    { '"\\x"', "malformed escape" },
    { '"\\u12g4"', "malformed escape" },
    { '"\1"', "control character" },
    { "01", "number begins with 0" },
    { "1.", "digit expected" },
    { "1e", "digit expected" },
    { ".5", "value expected" },
    { "+1", "value expected" },
    { "NaN", "value expected" },
    { "1e999", "number out of range" },
    { "'a'", "value expected" },
    { ("["):rep(100000), "nested too deep" },
  }
  for _, case in ipairs(bad) do
    it("refuses " .. case[1]:sub(1, 20):gsub("%c", "?"), function()
      local value, err = json.decode(case[1])
      assert.is_nil(value)
      assert.equal("INVALID", err:kind())
      assert.is_truthy(err:message():find(case[2], 1, true), err:message())
    end)
  end

  it("raises for what is no string", function()
    assert.error_matches(function()
      json.decode(1)
    end, "bad argument #1 to 'decode' %(string expected, got number%)")
  end)
end)

describe("json.encode", function()
  local good = {
    { nil, "null" },
    { json.null, "null" },
    { true, "true" },
    { 1, "1" },
    { -0.5, "-0.5" },
    { 1 / 3, "0.3333333333333333" },
    { 2 ^ 53, "9007199254740992" },
    { 1e21, "1e+21" },
    { "a\"\\\n\1", [["a\"\\\n\u0001"]] },
    { "é", '"é"' },
    { "\255a", '"\239\191\189a"' },
    { { 1, 2, 3 }, "[1,2,3]" },
    { {}, "{}" },
    { { b = 1, a = 2, c = { d = {} } }, '{"a":2,"b":1,"c":{"d":{}}}' },
    { { [200] = "ok", [404] = "nf" }, '{"200":"ok","404":"nf"}' },
    { { json.null, 1 }, "[null,1]" },
  }
  for i, case in ipairs(good) do
    it("writes case " .. i .. ": " .. case[2]:gsub("%c", "?"), function()
      assert.equal(case[2], json.encode(case[1]))
    end)
  end

  it("keeps arrays arrays", function()
    assert.equal("[]", json.encode(json.array()))
    assert.equal("[]", json.encode(json.decode("[]")))
    assert.equal("{}", json.encode(json.decode("{}")))
    assert.equal('{"a":[[],{}]}', json.encode(json.decode('{"a":[[],{}]}')))
    local list = json.decode("[1]")
    table.remove(list)
    assert.equal("[]", json.encode(list))
  end)

  it("writes an error object as what it says", function()
    local text = json.encode(errors.new({ message = "m", kind = "TIMEOUT" }))
    assert.equal("TIMEOUT", json.decode(text).kind)
  end)

  it("indents", function()
    local text = json.encode({ a = { 1 }, b = {} }, { indent = 2 })
    assert.equal('{\n  "a": [\n    1\n  ],\n  "b": {}\n}', text)
  end)

  local cycle = {}
  cycle.again = cycle
  local bad = {
    { { a = { print } }, "value.a[1]: function" },
    { { x = coroutine.create(print) }, "value.x: thread" },
    { { n = 0 / 0 }, "value.n: number is not finite" },
    { { n = math.huge }, "value.n: number is not finite" },
    { { [true] = 1 }, "key is neither a string nor a number" },
    { cycle, "nested too deep, or a cycle" },
    { json.array({ a = 1 }), "array has holes or other keys" },
  }
  for _, case in ipairs(bad) do
    it("refuses: " .. case[2], function()
      local text, err = json.encode(case[1])
      assert.is_nil(text)
      assert.equal("INVALID", err:kind())
      assert.is_truthy(err:message():find(case[2], 1, true), err:message())
    end)
  end

  it("gives back what it was given, whatever that is", function()
    math.randomseed(7)
    local function random(depth)
      local kind = math.random(depth > 3 and 4 or 6)
      if kind == 1 then return math.random(-1e6, 1e6) end
      if kind == 2 then return math.random() * 1e10 end
      if kind == 3 then return math.random() < 0.5 end
      if kind == 4 then
        local bytes = {}
        for i = 1, math.random(0, 12) do
          bytes[i] = string.char(math.random(1, 126))
        end
        return table.concat(bytes)
      end
      local t = kind == 5 and json.array() or {}
      for i = 1, math.random(0, 5) do
        t[kind == 5 and i or "k" .. i] = random(depth + 1)
      end
      return t
    end
    for _ = 1, 300 do
      local value = random(0)
      local text = assert(json.encode(value))
      local back, err = json.decode(text)
      assert.is_nil(err)
      assert.same(value, back)
      assert.equal(text, json.encode(back))
    end
  end)

  it("survives broken text", function()
    local text = json.encode({ a = { 1, 2, { b = "x\\y" } }, c = "é", d = 1.5e10, e = true })
    math.randomseed(3)
    for _ = 1, 3000 do
      local at = math.random(#text)
      json.decode(text:sub(1, at - 1) .. string.char(math.random(0, 255)) .. text:sub(at + 1))
      json.decode(text:sub(1, at))
    end
  end)
end)
