--- log: what is refused. What is written is seen in the command line's own tests.
-- SPDX-License-Identifier: MIT
local log = require("log")

describe("log", function()
  it("writes lines of every level", function()
    for _, level in ipairs({ "debug", "info", "warn", "error" }) do
      assert.is_true(log[level]("a line of the log's spec", { level = level }))
    end
  end)

  it("takes error objects, and text with percent signs", function()
    assert.is_true(log.debug(errors.new("an error")))
    assert.is_true(log.debug("100%s %n %d"))
  end)

  it("names the field that cannot be logged", function()
    local ok, err = log.debug("line without fields", { deep = { fn = print } })
    assert.is_nil(ok)
    assert.equal("INVALID", err:kind())
    assert.matches("fields%.deep%.fn: function", err:message())
  end)

  it("refuses wrong types", function()
    assert.error_matches(function()
      log.info()
    end, "bad argument #1 to 'info' %(string expected, got nil%)")
    assert.error_matches(function()
      log.warn("x", 1)
    end, "bad argument #2 to 'warn' %(table expected, got number%)")
  end)
end)
