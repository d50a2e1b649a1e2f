--- exec: results, limits, failures, and that nothing is left running.
-- SPDX-License-Identifier: MIT
local exec = require("exec")
local fs = require("fs")
local time = require("time")

local LONG = 30

local function sh(command, opts)
  return exec.run("sh", { "-c", command }, opts)
end

-- Waits until `condition` holds.
local function eventually(condition)
  local deadline = time.monotonic() + LONG
  while not condition() do
    assert.is_true(time.monotonic() < deadline, "did not happen in time")
    time.sleep(0.01)
  end
end

local function is_alive(pid)
  local stat = fs.read("/proc/" .. pid .. "/stat")
  -- a zombie that nobody collects yet is dead
  return stat ~= nil and not stat:match("^%d+ %b() Z")
end

describe("exec.run", function()
  it("gives the arguments as they are", function()
    local r = assert(exec.run("printf", { "%s|", "a b", "$HOME", "*", "", 7 }))
    assert.same({ code = 0, stdout = "a b|$HOME|*||7|", stderr = "" }, r)
  end)

  it("tells the exit code and keeps the outputs apart", function()
    local r = assert(sh("echo out; echo err >&2; exit 3"))
    assert.same({ code = 3, stdout = "out\n", stderr = "err\n" }, r)
  end)

  it("tells the signal that ended it", function()
    local r = assert(sh("kill -TERM $$"))
    assert.equal(15, r.signal)
    assert.equal(143, r.code)
  end)

  it("feeds standard input, which else is empty", function()
    assert.equal("given", exec.run("cat", {}, { stdin = "given" }).stdout)
    assert.equal("", exec.run("cat").stdout)
    assert.equal("", exec.run("cat", {}, { stdin = "" }).stdout)
  end)

  it("passes megabytes through", function()
    local text = ("0123456789abcde\n"):rep(200000)
    assert.equal(text, assert(exec.run("cat", {}, { stdin = text })).stdout)
  end)

  it("does not mind a program that ignores its input", function()
    local r = assert(sh("exec <&-; exit 4", { stdin = ("x"):rep(1000000) }))
    assert.equal(4, r.code)
  end)

  it("works in a folder", function()
    assert.equal("/\n", exec.run("pwd", {}, { cwd = "/" }).stdout)
    local r, err = exec.run("pwd", {}, { cwd = "/no/such/folder" })
    assert.is_nil(r)
    assert.equal("NOT_FOUND", err:kind())
    assert.matches("/no/such/folder", err:message())
  end)

  it("changes the environment", function()
    local r = assert(sh("echo $A-$HOME-${PATH:+path}", { env = { A = 1, HOME = false } }))
    assert.equal("1--path\n", r.stdout)
    r = assert(exec.run("env", {}, { clear_env = true, env = { B = "2", A = "1" } }))
    assert.equal("A=1\nB=2\n", r.stdout)
  end)

  it("answers what cannot run with a kind", function()
    local r, err = exec.run("no-such-program-anywhere")
    assert.is_nil(r)
    assert.equal("NOT_FOUND", err:kind())
    assert.matches("no%-such%-program", err:message())
    r, err = exec.run("/etc/passwd")
    assert.is_nil(r)
    assert.equal("PERMISSION_DENIED", err:kind())
    for _, name in ipairs({ "", "a\0b" }) do
      r, err = exec.run(name)
      assert.is_nil(r)
      assert.equal("INVALID", err:kind())
    end
    r, err = exec.run("echo", { "a\0b" })
    assert.is_nil(r)
    assert.equal("INVALID", err:kind())
  end)

  it("raises for wrong types", function()
    assert.error_matches(function()
      exec.run()
    end, "bad argument #1 to 'run' %(string expected, got nil%)")
    local wrong = {
      { "x", 1 },
      { "x", { {} } },
      { "x", {}, 1 },
      { "x", {}, { timeout = -1 } },
      { "x", {}, { stdin = 1 } },
      { "x", {}, { cwd = 1 } },
      { "x", {}, { env = { A = {} } } },
    }
    for _, args in ipairs(wrong) do
      assert.has_error(function()
        exec.run(unpack(args))
      end)
    end
  end)

  it("gives the program clean signals and only three descriptors", function()
    local r = assert(sh("grep SigBlk /proc/self/status; ls /proc/self/fd | wc -l"))
    -- ls has opened the folder itself
    assert.equal("SigBlk:\t0000000000000000\n4\n", r.stdout)
  end)
end)

describe("exec limits", function()
  it("time out with TIMEOUT and kill the whole group", function()
    local dir = assert(fs.temp_dir("exec-spec"))
    finally(function()
      fs.remove(dir, { recursive = true })
    end)
    local function pid_in(name)
      local text = fs.read(dir .. "/" .. name)
      return text and text:match("^(%d+)\n")
    end
    -- On a busy machine the shell may get longer before it is ended.
    local timeout = 0.25
    local kid, self
    repeat
      local r, err = sh("sleep 600 & echo $! > kid; echo $$ > self; trap '' TERM INT HUP; wait",
        { timeout = timeout, cwd = dir })
      assert.is_nil(r)
      assert.equal("TIMEOUT", err:kind())
      kid, self, timeout = pid_in("kid"), pid_in("self"), timeout * 2
    until (kid and self) or timeout > LONG
    eventually(function()
      return not is_alive(kid) and not is_alive(self)
    end)
  end)

  it("end a program that prints too much", function()
    local r, err = exec.run("yes", {}, { max_output = 100000 })
    assert.is_nil(r)
    assert.equal("UNAVAILABLE", err:kind())
    assert.matches("100000", err:message())
  end)

  it("kill what a process leaves behind when it ends", function()
    local dir = assert(fs.temp_dir("exec-spec"))
    finally(function()
      fs.remove(dir, { recursive = true })
    end)
    local pid = assert(process.spawn(function(folder)
      require("exec").run("sh", { "-c", "echo $$ > self; exec sleep 600" }, { cwd = folder })
    end, dir))
    local child
    eventually(function()
      local text = fs.read(dir .. "/self")
      child = text and text:match("^(%d+)\n")
      return child
    end)
    assert.is_true(is_alive(child))
    assert(process.terminate(pid))
    eventually(function()
      return not is_alive(child)
    end)
  end)

  it("let many run at once", function()
    local done = channel.new(30)
    for i = 1, 30 do
      coroutine.spawn(function()
        local r, err = sh("echo " .. i)
        done:send(r and tonumber(r.stdout) or tostring(err))
      end)
    end
    local sum = 0
    for _ = 1, 30 do
      sum = sum + done:receive(LONG)
    end
    assert.equal(465, sum)
  end)
end)
