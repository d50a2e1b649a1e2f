--- io and os: the calls of Lua's own libraries, none of which blocks a worker.
-- SPDX-License-Identifier: MIT
local exec = require("exec")
local fs = require("fs")

local RUNTIME = assert(fs.realpath("/proc/self/exe"))

-- Runs a chunk in a runtime of its own.
local function run(code, stdin, before)
  local argv = { "-e", code }
  if before then
    return exec.run("sh", { "-c", before, RUNTIME, unpack(argv) }, { timeout = 60 })
  end
  return exec.run(RUNTIME, argv, { stdin = stdin, timeout = 60 })
end

describe("io files", function()
  local dir, path

  before_each(function()
    dir = assert(fs.temp_dir("io-spec"))
    path = dir .. "/file"
  end)

  after_each(function()
    assert(fs.remove(dir, { recursive = true }))
  end)

  it("are written and read", function()
    local f = assert(io.open(path, "w"))
    assert.equal("file", io.type(f))
    assert.equal(f, f:write("line1\n", "line2\n", 3, " ", 4.5, "\nrest"))
    assert.is_true(f:close())
    assert.equal("closed file", io.type(f))
    assert.equal("line1\nline2\n3 4.5\nrest", fs.read(path))
    f = assert(io.open(path))
    assert.same({ "line1", "line2\n", 3, 4.5, "\nrest" }, { f:read("*l", "*L", "*n", "*n", "*a") })
    assert.equal("", f:read("*a"))
    assert.is_nil(f:read("*l"))
    assert.is_nil(f:read(0))
    f:close()
  end)

  it("read the formats without a star, and bytes by number", function()
    assert(fs.write(path, "ab\ncd\n\nef"))
    local f = assert(io.open(path))
    assert.equal("ab", f:read("l"))
    assert.equal("c", f:read(1))
    assert.equal("", f:read(0))
    assert.equal("d\n", f:read("L"))
    assert.equal("", f:read())
    assert.equal("ef", f:read(100))
    assert.is_nil(f:read(1))
    f:close()
  end)

  local numbers = {
    { "12", 12 }, { " \n -3.5", -3.5 }, { "0x1F ", 31 }, { "1e3", 1000 }, { ".5", 0.5 },
    { "+7", 7 }, { "x", nil }, { "", nil }, { "-", nil },
  }
  for _, case in ipairs(numbers) do
    it("read the number in '" .. case[1]:gsub("\n", "\\n") .. "'", function()
      assert(fs.write(path, case[1]))
      local f = assert(io.open(path))
      assert.equal(case[2], (f:read("*n")))
      f:close()
    end)
  end

  it("iterate over lines", function()
    local expected = {}
    for i = 1, 5000 do
      expected[i] = "line " .. i .. ("."):rep(i % 50)
    end
    assert(fs.write(path, table.concat(expected, "\n") .. "\n"))
    local got = {}
    for line in io.lines(path) do
      got[#got + 1] = line
    end
    assert.same(expected, got)
    local f = assert(io.open(path))
    assert.equal("line 1.\n", f:lines("*L")())
    f:close()
  end)

  it("keep large writes in order", function()
    local f = assert(io.open(path, "w"))
    local parts = {}
    for i = 1, 20000 do
      parts[i] = i .. "\n"
      f:write(i, "\n")
    end
    f:close()
    assert.equal(table.concat(parts), fs.read(path))
  end)

  it("have one position for reading and writing", function()
    assert(fs.write(path, "0123456789"))
    local f = assert(io.open(path, "r+"))
    assert.equal("012", f:read(3))
    f:write("XX")
    assert.equal(5, f:seek())
    assert.equal("56", f:read(2))
    assert.equal(0, f:seek("set"))
    assert.equal("012XX56789", f:read("*a"))
    assert.equal(8, f:seek("end", -2))
    assert.equal("89", f:read("*a"))
    assert.is_nil((f:seek("set", -1)))
    f:close()
  end)

  it("append whatever the position", function()
    assert(fs.write(path, "one "))
    local f = assert(io.open(path, "a+"))
    f:write("two ")
    f:seek("set")
    assert.equal("one two ", f:read("*a"))
    f:seek("set")
    f:write("three")
    f:close()
    assert.equal("one two three", fs.read(path))
  end)

  it("show what was written after a flush, or at once", function()
    local f = assert(io.open(path, "w"))
    f:write("a")
    f:flush()
    assert.equal("a", fs.read(path))
    f:setvbuf("no")
    f:write("b")
    assert.equal("ab", fs.read(path))
    f:close()
  end)

  it("are closed, and kept, at the end of their process", function()
    assert(process.exec(function(name)
      local f = assert(io.open(name, "w"))
      f:write("kept")
      return true
    end, path))
    assert.equal("kept", fs.read(path))
  end)

  it("answer failures with nil and an error", function()
    local f, err = io.open(dir .. "/no/file")
    assert.is_nil(f)
    assert.equal("NOT_FOUND", err:kind())
    f, err = io.open(dir)
    assert.is_nil(f)
    assert.equal("INVALID", err:kind())
    assert(fs.write(path, "x"))
    f = assert(io.open(path))
    assert.is_nil((f:write("y")))
    f:close()
    assert.has_error(function()
      f:read()
    end, "attempt to use a closed file")
    assert.has_error(function()
      io.lines(dir .. "/missing")
    end)
  end)

  it("refuse wrong arguments", function()
    assert.error_matches(function()
      io.open(path, "rw")
    end, "bad argument #2 to 'open' %(invalid mode%)")
    assert.error_matches(function()
      io.open()
    end, "bad argument #1 to 'open' %(string expected, got nil%)")
    local f = assert(io.open(path, "w+"))
    assert.has_error(function()
      f:write({})
    end)
    assert.has_error(function()
      f:read("*z")
    end)
    f:close()
  end)

  it("serve as default input and output", function()
    io.output(path)
    io.write("through ", "the default")
    io.close()
    io.output(io.stdout)
    io.input(path)
    assert.equal("through the default", io.read("*a"))
    io.input():close()
    io.input(io.stdin)
    assert.has_error(function()
      io.input(dir .. "/missing")
    end)
  end)

  it("can be temporary", function()
    local f = assert(io.tmpfile())
    f:write("abc")
    f:seek("set")
    assert.equal("abc", f:read("*a"))
    f:close()
    local name = os.tmpname()
    assert.is_true(fs.exists(name))
    assert.is_true(os.rename(name, name .. "2"))
    assert.is_true(os.remove(name .. "2"))
    local ok, err = os.remove(name)
    assert.is_nil(ok)
    assert.equal("NOT_FOUND", err:kind())
  end)
end)

describe("io.popen", function()
  it("reads what a command prints", function()
    local f = io.popen("echo one; echo two; exit 3")
    assert.equal("one", f:read())
    assert.equal("two\n", f:read("*a"))
    local ok, how, code = f:close()
    assert.is_nil(ok)
    assert.equal("exit", how)
    assert.equal(3, code)
    local lines = {}
    for line in io.popen("printf 'a\\nb\\nc'"):lines() do
      lines[#lines + 1] = line
    end
    assert.same({ "a", "b", "c" }, lines)
  end)

  it("feeds a command", function()
    local path = os.tmpname()
    local f = io.popen("cat > " .. path, "w")
    f:write("fed ", 7)
    assert.same({ true, "exit", 0 }, { f:close() })
    assert.equal("fed 7", fs.read(path))
    os.remove(path)
  end)
end)

describe("os", function()
  it("runs commands", function()
    assert.equal(0, (os.execute("true")))
    assert.equal(768, (os.execute("exit 3")))
    assert.same({ 9, "signal", 9 }, { os.execute("kill -9 $$") })
    assert.equal(1, os.execute())
  end)

  it("asks for the locale, and changes none", function()
    assert.equal("C", os.setlocale())
    assert.is_nil((os.setlocale("de_DE")))
  end)

  it("keeps the rest of Lua's library", function()
    assert.is_number(os.time())
    assert.is_number(os.clock())
    assert.equal("1970", os.date("!%Y", 0))
    assert.equal(2, os.difftime(3, 1))
    assert.is_string(os.getenv("PATH"))
  end)
end)

describe("standard input and output", function()
  it("are read by line, number, bytes and to the end", function()
    local r = assert(run([[
      print(io.read())
      print(io.read("*n", "*n"))
      print(#io.read(3), io.read("*a"))
      print(io.read("*a"), io.read())
    ]], "first\n12 0x10 abcdef\nrest"))
    assert.equal("first\n12\t16\n3\tcdef\nrest\n\tnil\n", r.stdout)
    assert.equal(0, r.code)
  end)

  it("are waited for line by line while other coroutines run", function()
    -- The rest of the input comes when the other coroutine has run.
    local mark = os.tmpname()
    assert(os.remove(mark))
    local code = [[
      local fs, time, ticks = require("fs"), require("time"), 0
      coroutine.spawn(function()
        while ticks < 5 do time.sleep(0.01) ticks = ticks + 1 end
        assert(fs.write(%q, ""))
      end)
      for line in io.lines() do io.write("[", line, "]") end
      print(ticks)
    ]]
    local feed = [[ (echo a; until [ -e '%s' ]; do sleep 0.02; done; printf 'b\nc') | "$0" "$@" ]]
    local r = assert(run(code:format(mark), nil, feed:format(mark)))
    os.remove(mark)
    assert.equal("[a][b][c]5\n", r.stdout)
  end)

  it("may be a file, and nothing", function()
    local path = os.tmpname()
    assert(fs.write(path, "x\ny\n"))
    local count = [[ local n = 0 for _ in io.lines() do n = n + 1 end print(n) ]]
    assert.equal("2\n", run(count, nil, [["$0" "$@" < ]] .. path).stdout)
    assert.equal("0\n", run(count, nil, [["$0" "$@" < /dev/null]]).stdout)
    os.remove(path)
  end)

  it("is left as it was for the next reader", function()
    local r = assert(run([[
      local line = io.read()
      local flags = require("fs").read("/proc/self/fdinfo/0"):match("flags:%s*(%d+)")
      print(line, math.floor(tonumber(flags, 8) / tonumber("4000", 8)) % 2)
    ]], nil, [[ echo a | "$0" "$@" ]]))
    assert.equal("a\t0\n", r.stdout)
  end)

  it("go to the two outputs", function()
    local r = assert(run([[ print(1, nil) io.write("w", 2, "\n") io.stderr:write("e\n") ]]))
    assert.equal("1\tnil\nw2\n", r.stdout)
    assert.equal("e\n", r.stderr)
  end)

  it("know what they are", function()
    assert.equal("file", io.type(io.stdout))
    assert.is_nil(io.type(1))
    assert.is_nil((io.stdout:read()))
    assert.is_nil((io.stdin:write("x")))
    assert.equal(io.stdout, io.output())
    assert.equal(io.stdin, io.input())
  end)
end)
