--- errors: kinds, wrapping, crossing a process border; and the library's argument checks.
-- SPDX-License-Identifier: MIT
local time = require("time")

describe("errors.new", function()
  it("takes a message", function()
    local err = errors.new("broken")
    assert.equal("broken", err:message())
    assert.equal("broken", tostring(err))
    assert.equal("UNKNOWN", err:kind())
    assert.is_false(err:retryable())
    assert.is_nil(err:details())
    assert.matches("errors_spec", err:stack())
  end)

  it("takes a table", function()
    local err = errors.new({ message = "m", kind = "TIMEOUT", retryable = true, details = { 1 } })
    assert.equal("m", err:message())
    assert.equal("TIMEOUT", err:kind())
    assert.is_true(err:retryable())
    assert.same({ 1 }, err:details())
  end)

  it("refuses wrong types", function()
    assert.error_matches(function()
      errors.new()
    end, "bad argument #1 to 'new' %(string or table expected, got nil%)")
    assert.error_matches(function()
      errors.new({ kind = 1 })
    end, "bad argument 'kind' to 'new'")
    assert.error_matches(function()
      errors.new({ retryable = 1 })
    end, "bad argument 'retryable' to 'new'")
  end)

  it("joins with strings", function()
    assert.equal("a: b", "a: " .. errors.new("b"))
    assert.equal("b!", errors.new("b") .. "!")
  end)

  it("knows its kinds by name", function()
    assert.equal("NOT_FOUND", errors.NOT_FOUND)
    assert.equal("RATE_LIMITED", errors.RATE_LIMITED)
  end)
end)

describe("errors.wrap and errors.is", function()
  it("keeps everything but the message", function()
    local inner = errors.new({ message = "in", kind = "CONFLICT", retryable = true, details = 7 })
    local err = errors.wrap(inner, "out")
    assert.equal("out: in", err:message())
    assert.equal("CONFLICT", err:kind())
    assert.is_true(err:retryable())
    assert.equal(7, err:details())
    assert.equal("in", inner:message())
  end)

  it("makes an error of anything, and nothing of nil", function()
    assert.equal("ctx: text", errors.wrap("text", "ctx"):message())
    assert.equal("UNKNOWN", errors.wrap("text", "ctx"):kind())
    assert.equal("INVALID", errors.wrap({ message = "m", kind = "INVALID" }, "c"):kind())
    assert.is_nil(errors.wrap(nil, "ctx"))
  end)

  it("tells kinds", function()
    local err = errors.new({ message = "m", kind = "INVALID" })
    assert.is_true(errors.is(err, "INVALID"))
    assert.is_false(errors.is(err, "TIMEOUT"))
    assert.is_false(errors.is("INVALID", "INVALID"))
    assert.is_false(errors.is(nil, "INVALID"))
    assert.has_error(function()
      errors.is(err)
    end)
  end)
end)

describe("errors between processes", function()
  local function run(fn)
    return process.exec(fn)
  end

  it("keep their kind, message and details when raised", function()
    local result, err = run(function()
      error(errors.new({
        message = "m",
        kind = "RATE_LIMITED",
        retryable = true,
        details = { a = 1 },
      }))
    end)
    assert.is_nil(result)
    assert.equal("RATE_LIMITED", err:kind())
    assert.equal("m", err:message())
    assert.is_true(err:retryable())
    assert.same({ a = 1 }, err:details())
  end)

  it("are made of plain tables with a kind, and of text", function()
    local _, err = run(function()
      error({ message = "plain", kind = "CONFLICT" })
    end)
    assert.equal("CONFLICT", err:kind())
    assert.equal("plain", err:message())
    _, err = run(function()
      error("text")
    end)
    assert.equal("UNKNOWN", err:kind())
    assert.matches("text", err:message())
  end)

  it("travel as maps in messages", function()
    local got = channel.new(1)
    local inbox = process.listen("err")
    assert(process.send(process.pid(), "err", errors.new({ message = "m", kind = "TIMEOUT" })))
    local map = inbox:receive(30)
    got:close()
    process.unlisten(inbox)
    assert.equal("TIMEOUT", map.kind)
    assert.equal("m", map.message)
  end)
end)

describe("durations", function()
  local valid = {
    ["250ms"] = 0.25, ["5s"] = 5, ["1h30m"] = 5400, ["1.5h"] = 5400, [".5s"] = 0.5,
    ["1d"] = 86400, ["2m3s"] = 123, ["100us"] = 1e-4, ["0"] = 0,
  }
  for text, seconds in pairs(valid) do
    it("reads " .. text, function()
      assert.is_true(math.abs(time.parse_duration(text) - seconds) < 1e-9)
    end)
  end

  for _, text in ipairs({ "", "5", "x", "5x", "-1s", "1h 3m", "s", ".s", "1e3s", "inf" }) do
    it("refuses '" .. text .. "'", function()
      local seconds, err = time.parse_duration(text)
      assert.is_nil(seconds)
      assert.equal("INVALID", err:kind())
    end)
  end

  it("takes numbers that are no less than zero", function()
    assert.equal(1.5, time.parse_duration(1.5))
    assert.equal(0, time.parse_duration(0))
    assert.is_nil(time.parse_duration(-1))
    assert.is_nil(time.parse_duration(0 / 0))
    assert.is_number(time.parse_duration(math.huge))
    assert.has_error(function()
      time.parse_duration({})
    end)
  end)

  it("raise in the name of the caller", function()
    local ok, err = pcall(function()
      time.sleep("soon")
    end)
    assert.is_false(ok)
    assert.matches("errors_spec.lua:%d+: bad argument #1 to 'sleep' %(duration expected", err)
  end)
end)
