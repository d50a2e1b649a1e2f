-- What scripts do not get, cannot change, and still can do.
describe("the sandbox", function()
  it("has no way to C, to bytecode, to other processes", function()
    for _, name in ipairs({ "ffi", "jit", "newproxy", "module", "gcinfo", "uv" }) do
      assert.is_nil(_G[name], name)
      assert.is_false((pcall(require, name)), name)
    end
    -- in a process of its own, as this one has what busted needs
    local names = process.exec(function()
      local names = {}
      for name in pairs(debug) do names[#names + 1] = name end
      table.sort(names)
      return names
    end)
    assert.same({ "getinfo", "traceback" }, names)
    local code = string.dump(function() return 1 end)
    assert.is_nil((loadstring(code)))
    assert.is_nil((load(code)))
    assert.is_nil((load(function()
      local part = code
      code = nil
      return part
    end)))
    assert.is_nil((load(string.dump(function() end), "x", "b")))
  end)

  it("keeps the library from change", function()
    for _, name in ipairs({ "string", "table", "math", "os", "io", "coroutine", "bit", "process",
      "channel", "errors" }) do
      local lib = assert(_G[name], name)
      local ok, err = pcall(function() lib.made_up = 1 end)
      assert.is_false(ok, name)
      assert.matches("'" .. name .. "' is frozen", err, 1, true)
      assert.is_false((pcall(rawset, lib, "made_up", 1)), name)
      assert.is_false((pcall(setmetatable, lib, {})), name)
      assert.is_false(getmetatable(lib))
      assert.is_false((pcall(table.insert, lib, 1)), name)
      assert.is_nil(lib.made_up)
    end
    for _, lib in ipairs({ string, process.event }) do
      for key in pairs(lib) do
        assert.is_false((pcall(function() lib[key] = print end)))
      end
    end
  end)

  it("keeps its tables from other metatables", function()
    local ok, value = process.exec(function()
      local lib = require("time")
      setfenv(0, lib)
      local changed = pcall(setmetatable, lib, { __index = {} })
      setfenv(0, _G)
      return changed
    end)
    assert.is_false(ok)
    assert.is_nil(value)
    for _, lib in ipairs({ string, require("time"), channel.new() }) do
      assert.is_false((pcall(require("json").array, lib)))
    end
    assert.is_function(require("time").monotonic)
    assert.equal("[]", require("json").encode(require("json").array(setmetatable({}, {}))))
  end)

  it("protects the metatable of strings", function()
    assert.is_false(getmetatable(""))
    assert.is_false((pcall(setmetatable, "", {})))
    assert.is_false((pcall(function() (""):x() end)))
  end)

  it("lets the library be walked", function()
    local seen = {}
    for name, value in pairs(string) do seen[name] = value end
    assert.equal(string.format, seen.format)
    assert.equal(string.rep, rawget(string, "rep"))
    assert.is_not_nil((next(math)))
    local key = next(math)
    assert.is_not_nil(math[key])
  end)

  it("gives globals that are the process's own", function()
    assert.is_true(process.exec(function()
      local env = getfenv()
      return env == _G and env == _G._G and env == getfenv(0) and env == getfenv(string.format)
    end))
    _G.made_here = 5
    assert.equal(5, made_here) -- luacheck: ignore
    _G.made_here = nil
    local mine = _G.print
    _G.print = function() end
    assert.is_true(process.exec(function() return print ~= nil end))
    _G.print = nil
    assert.equal(mine, print)
  end)

  it("lets the globals have a metatable, behind the library", function()
    local value, err = process.exec(function()
      local seen
      local meta = {
        __index = function(_, k) return "no " .. k end,
        __newindex = function(t, k, v) seen = k rawset(t, k, v) end,
      }
      assert(setmetatable(_G, meta) == _G)
      assert(getmetatable(_G) == meta)
      x = 5 -- luacheck: ignore
      setmetatable(_G, { __index = meta.__index })
      return { seen, x, nothing, type(print) } -- luacheck: ignore
    end)
    assert.is_nil(err)
    assert.same({ "x", 5, "no nothing", "function" }, value)
  end)

  it("restricts environments to the process's functions", function()
    local env = { x = 7 }
    local fn = setfenv(function() return x end, env) -- luacheck: ignore
    assert.equal(7, fn())
    assert.equal(env, getfenv(fn))
    assert.is_false((pcall(setfenv, string.format, {})))
    assert.is_false((pcall(setfenv, process.spawn, {})))
    assert.is_false((pcall(setfenv, require("time").sleep, {})))
    local function change() setfenv(2, { assert = assert }) end
    local function changed()
      change()
      return _G
    end
    assert.is_nil(changed())
  end)

  it("loads text with the process's globals", function()
    _G.made = 3
    assert.equal(3, loadstring("return made")())
    assert.equal(3, load("return made")())
    assert.equal(4, load("return made", "chunk", "t", { made = 4 })())
    local parts, n = { "return ", "made" }, 0
    assert.equal(3, load(function()
      n = n + 1
      return parts[n]
    end)())
    _G.made = nil
    local fn, err = loadstring("x =", "=chunk")
    assert.is_nil(fn)
    assert.matches("^chunk:1:", err)
    assert.is_nil((load(function() return 5 end)))
  end)

  it("offers what is harmless of debug and collectgarbage", function()
    assert.is_number(collectgarbage("count"))
    assert.equal(0, collectgarbage("step"))
    assert.equal(0, collectgarbage())
    assert.is_false((pcall(collectgarbage, "stop")))
    local info = debug.getinfo(1, "Sl")
    assert.matches("sandbox_spec", info.short_src)
    assert.is_number(info.currentline)
    assert.matches("traceback", debug.traceback("x"))
    local function walk()
      for level = 1, 20 do
        local inside = debug.getinfo(level, "f")
        if not inside then break end
        -- the environment of a library function is shown as the process's own
        if inside.func then assert.equal(require, getfenv(inside.func).require) end
      end
    end
    walk()
  end)

  it("does not let library functions be confused by callbacks", function()
    local t = setmetatable({}, { __index = function(_, k) return k * 2 end })
    assert.equal(8, t[4])
    assert.equal("T", tostring(setmetatable({}, { __tostring = function() return "T" end })))
    assert.same({ "ABC", 3 }, { ("abc"):gsub("%w", string.upper) })
    assert.same({ "<abc><>", 2 }, { ("abc"):gsub("%w*", function(s) return "<" .. s .. ">" end) })
    assert.same({ "key=value", 1 }, { ("$k=value"):gsub("%$(%w+)",
      setmetatable({}, { __index = function() return "key" end })) })
    assert.same({ "Abc", 1 }, { ("abc"):gsub("%w", string.upper, 1) })
    assert.same({ "xbc", 1 }, { ("abc"):gsub("^%w", function() return "x" end) })
    assert.has_error(function() ("x"):gsub("x", function() return {} end) end)
  end)

  it("sorts like Lua", function()
    math.randomseed(1)
    for n = 0, 60 do
      local a, b = {}, {}
      for i = 1, n do
        a[i] = math.random(1, 20)
        b[i] = a[i]
      end
      table.sort(a)
      table.sort(b, function(x, y) return x > y end)
      for i = 1, n do assert.equal(a[i], b[n + 1 - i]) end
    end
    local big = {}
    for i = 1, 20000 do big[i] = (i * 7919) % 1000 end
    table.sort(big, function(x, y) return x < y end)
    for i = 2, #big do assert(big[i - 1] <= big[i]) end
    local list = { 3, 1, 2, 5, 4, 9, 8, 7, 6, 10, 11, 12, 13, 14, 15 }
    assert.is_false((pcall(table.sort, list, function() return true end)))
    assert.has_error(function() table.sort(5) end)
    assert.has_error(function() table.sort({}, 5) end)
  end)
end)

describe("what the library keeps in tables of scripts", function()
  it("has no metatable for them", function()
    local file = assert(io.open("/dev/null"))
    local watch = assert(require("fs").watch("/dev"))
    for name, object in pairs({ file = file, watch = watch }) do
      assert.equal("userdata", type(object.core), name)
      assert.is_false(getmetatable(object.core), name)
      object:close()
    end
  end)
end)

describe("standard input and outputs", function()
  it("are shared, so that nobody can change them", function()
    for _, name in ipairs({ "stdin", "stdout", "stderr" }) do
      local stream = io[name]
      assert.has_error(function() stream.write = print end)
      assert.has_error(function() rawset(stream, "write", print) end)
      assert.has_error(function() table.insert(stream, 1) end)
      assert.is_nil(next(stream))
      assert.is_nil(rawget(stream, "write"))
      assert.equal("file", io.type(stream))
      assert.equal("file (" .. name .. ")", tostring(stream))
    end
    assert.equal(io.stdout, io.stdout:write(""))
  end)
end)

describe("memory", function()
  it("is reported", function()
    assert.is_true(collectgarbage("count") > 0)
  end)
end)
