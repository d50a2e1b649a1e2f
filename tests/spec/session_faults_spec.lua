--- A session whose file is taken away, and the options that say how long to wait and how safe to
--- write.
local env = require("session_env")
local fs = require("fs")
local session = require("session")
local time = require("time")

describe("a session whose file is lost", function()
  after_each(env.close_all)

  it("ends after its patience, and names the file", function()
    local s = env.open({}, { name = "lost", patience = "1s", sync = "normal", max_journal = 1e6 })
    env.run(s, "n", { "1" })
    assert(fs.remove(env.dir .. "/lost.sqlite"))
    local ok, err
    env.eventually(function()
      ok, err = s:dispatch({ class = "n", value = "2" })
      return not ok
    end)
    assert.equal("UNAVAILABLE", err:kind())
    assert.matches("lost.sqlite is gone", err:message())
    env.eventually(function() return s:done() end)
    ok, err = s:wait("60s")
    assert.is_nil(ok)
    assert.equal("UNAVAILABLE", err:kind())
    assert.matches("lost.sqlite is gone", err:message())
  end)

  local bad = { sync = { "twice", 1 }, patience = { "soon", true }, max_journal = { "1 MB", -1 } }
  for name, values in pairs(bad) do
    it("is not opened with a bad " .. name, function()
      for _, value in ipairs(values) do
        local ok, err = pcall(session.open, { name = "never", dir = env.dir, [name] = value })
        assert.is_false(ok)
        assert.matches(name, tostring(err))
      end
    end)
  end

  it("waits for ever when asked to", function()
    local s = env.open({}, { name = "patient", patience = false })
    env.run(s, "n", { "1" })
    local path = env.dir .. "/patient.sqlite"
    assert(fs.rename(path, path .. "-away"))
    env.eventually(function() return not s:dispatch({ class = "n", value = "2" }) end)
    time.sleep("50ms")
    assert.is_false(s:done())
    assert(fs.rename(path .. "-away", path))
    env.eventually(function() return s:dispatch({ class = "n", value = "2" }) end)
  end)
end)
