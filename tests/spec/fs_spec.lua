--- fs: files and folders, their errors, walking and watching.
-- SPDX-License-Identifier: MIT
local fs = require("fs")

local LONG = 30

describe("fs", function()
  local dir

  before_each(function()
    dir = assert(fs.temp_dir("fs-spec"))
  end)

  after_each(function()
    assert(fs.remove(dir, { recursive = true }))
  end)

  local function kind_of(value, err)
    assert.is_nil(value)
    return err:kind()
  end

  it("writes, appends and reads bytes", function()
    local path = dir .. "/file"
    assert.is_true(fs.write(path, "a\0b\255"))
    assert.is_true(fs.append(path, "more"))
    assert.equal("a\0b\255more", fs.read(path))
    assert.is_true(fs.write(path, ""))
    assert.equal("", fs.read(path))
    assert.is_true(fs.append(dir .. "/new", "x"))
    assert.equal("x", fs.read(dir .. "/new"))
  end)

  it("reads large files, and those without a size", function()
    local data = ("0123456789"):rep(300000)
    assert(fs.write(dir .. "/big", data))
    assert.equal(data, fs.read(dir .. "/big"))
    assert.matches("^Name:", fs.read("/proc/self/status"))
  end)

  it("reads no more than it may", function()
    assert(fs.write(dir .. "/file", "12345"))
    assert.equal("12345", fs.read(dir .. "/file", { max = 5 }))
    assert.equal("INVALID", kind_of(fs.read(dir .. "/file", { max = 4 })))
    assert.equal("INVALID", kind_of(fs.read("/dev/zero", { max = 1000 })))
  end)

  it("waits for no pipe", function()
    assert(require("exec").run("mkfifo", { dir .. "/fifo" }))
    assert.equal("pipe", fs.stat(dir .. "/fifo").type)
    assert.equal("", fs.read(dir .. "/fifo"))
    assert.equal("UNAVAILABLE", kind_of(fs.write(dir .. "/fifo", "x")))
  end)

  it("answers what is not there with NOT_FOUND and the path", function()
    local missing = dir .. "/missing"
    for _, name in ipairs({ "read", "stat", "list", "walk", "remove", "realpath", "watch" }) do
      local value, err = fs[name](missing)
      assert.is_nil(value)
      assert.equal("NOT_FOUND", err:kind())
      assert.is_truthy(err:message():find(missing, 1, true))
    end
    assert.equal("NOT_FOUND", kind_of(fs.write(missing .. "/x", "")))
    assert.equal("NOT_FOUND", kind_of(fs.rename(missing, dir .. "/x")))
    assert.is_false(fs.exists(missing))
    assert.is_true(fs.exists(dir))
  end)

  it("tells other failures apart", function()
    assert(fs.write(dir .. "/file", "x"))
    assert.equal("INVALID", kind_of(fs.read(dir)))
    assert.equal("ALREADY_EXISTS", kind_of(fs.write(dir .. "/file", "y", { exclusive = true })))
    assert.equal("ALREADY_EXISTS", kind_of(fs.mkdir(dir .. "/file")))
    assert.equal("NOT_FOUND", kind_of(fs.list(dir .. "/file")))
    assert.equal("INVALID", kind_of(fs.read("")))
    assert.equal("INVALID", kind_of(fs.read("a\0b")))
    assert.equal("x", fs.read(dir .. "/file"))
  end)

  it("raises for wrong types", function()
    assert.error_matches(function()
      fs.read()
    end, "bad argument #1 to 'read' %(string expected, got nil%)")
    assert.error_matches(function()
      fs.write("x")
    end, "bad argument #2 to 'write' %(string expected, got nil%)")
    assert.error_matches(function()
      fs.rename("x", 1)
    end, "bad argument #2 to 'rename' %(string expected, got number%)")
    assert.error_matches(function()
      fs.read("x", 1)
    end, "bad argument #2 to 'read' %(table expected, got number%)")
  end)

  it("stats files, folders and links", function()
    assert(fs.write(dir .. "/file", "12345", { mode = tonumber("600", 8) }))
    assert(require("exec").run("ln", { "-s", "file", dir .. "/link" }))
    local stat = assert(fs.stat(dir .. "/file"))
    assert.equal("file", stat.type)
    assert.equal(5, stat.size)
    assert.equal(tonumber("600", 8), stat.mode)
    assert.is_true(math.abs(stat.mtime - os.time()) < 60)
    assert.equal("directory", fs.stat(dir).type)
    assert.equal("file", fs.stat(dir .. "/link").type)
    assert.equal("link", fs.stat(dir .. "/link", { follow = false }).type)
    assert.equal(fs.realpath(dir .. "/file"), fs.realpath(dir .. "/link"))
  end)

  it("lists in byte order with types", function()
    for _, name in ipairs({ "b", "a", "C", "é", "10", "9" }) do
      assert(fs.write(dir .. "/" .. name, ""))
    end
    assert(fs.mkdir(dir .. "/d"))
    local names, types = fs.list(dir)
    assert.same({ "10", "9", "C", "a", "b", "d", "é" }, names)
    assert.equal("directory", types[6])
    assert.equal("file", types[1])
    assert.same({}, (fs.list(dir .. "/d")))
  end)

  it("makes folders", function()
    assert.is_true(fs.mkdir(dir .. "/a"))
    assert.equal("ALREADY_EXISTS", kind_of(fs.mkdir(dir .. "/a")))
    assert.equal("NOT_FOUND", kind_of(fs.mkdir(dir .. "/x/y")))
    assert.is_true(fs.mkdir(dir .. "/x/y/z", { parents = true }))
    assert.is_true(fs.mkdir(dir .. "/x/y/z", { parents = true }))
    assert.equal("directory", fs.stat(dir .. "/x/y/z").type)
  end)

  it("removes files, empty folders, and trees when asked", function()
    assert(fs.mkdir(dir .. "/t/u", { parents = true }))
    assert(fs.write(dir .. "/t/u/f", ""))
    assert(require("exec").run("ln", { "-s", "/", dir .. "/t/root" }))
    assert.equal("CONFLICT", kind_of(fs.remove(dir .. "/t")))
    assert.is_true(fs.remove(dir .. "/t/u/f"))
    assert.is_true(fs.remove(dir .. "/t/u"))
    assert.is_true(fs.remove(dir .. "/t", { recursive = true }))
    assert.is_false(fs.exists(dir .. "/t"))
    assert.is_true(fs.exists("/"))
  end)

  it("renames over a file", function()
    assert(fs.write(dir .. "/a", "new"))
    assert(fs.write(dir .. "/b", "old"))
    assert.is_true(fs.rename(dir .. "/a", dir .. "/b"))
    assert.equal("new", fs.read(dir .. "/b"))
    assert.is_false(fs.exists(dir .. "/a"))
  end)

  it("walks a tree, folders before what is in them", function()
    assert(fs.mkdir(dir .. "/b/c", { parents = true }))
    for _, name in ipairs({ "a", "b/y", "b/c/z", "d" }) do
      assert(fs.write(dir .. "/" .. name, ""))
    end
    assert(require("exec").run("ln", { "-s", dir, dir .. "/b/loop" }))
    local seen = {}
    for path, info in fs.walk(dir) do
      seen[#seen + 1] = path:sub(#dir + 2) .. " " .. info.type .. " " .. info.depth
    end
    assert.same({
      "a file 1", "b directory 1", "b/c directory 2", "b/c/z file 3", "b/loop link 2", "b/y file 2",
      "d file 1",
    }, seen)
  end)

  it("makes temporary files and folders", function()
    local path = assert(fs.temp_file("spec"))
    assert.matches("/spec%-[^/]+$", path)
    assert.equal(0, fs.stat(path).size)
    assert.is_true(fs.remove(path))
    assert.has_error(function()
      fs.temp_dir("a/b")
    end)
  end)

  it("watches a folder", function()
    local watch = assert(fs.watch(dir))
    assert(fs.write(dir .. "/appears", "x"))
    local change, ok = watch:channel():receive(LONG)
    assert.is_true(ok)
    assert.same({ path = "appears", event = "rename" }, change)
    assert.is_true(watch:close())
    assert.is_true(watch:close())
    repeat
      change, ok = watch:channel():receive(LONG)
    until not change
    assert.is_false(ok)
  end)

  it("serves many at once", function()
    local done = channel.new(100)
    for i = 1, 100 do
      coroutine.spawn(function()
        local path = dir .. "/" .. i
        assert(fs.write(path, ("x"):rep(i)))
        done:send(#assert(fs.read(path)))
      end)
    end
    local sum = 0
    for _ = 1, 100 do
      sum = sum + done:receive(LONG)
    end
    assert.equal(5050, sum)
  end)
end)
