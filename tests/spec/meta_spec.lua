--- What lua/meta tells editors is what scripts find: the same modules, functions, methods and
-- parameters, compared both ways. SPDX-License-Identifier: MIT
local fs = require("fs")

-- Names of the .lua files of a folder, without the ending.
local function names_in(dir)
  local names = {}
  for _, file in ipairs(assert(fs.list(dir))) do
    names[#names + 1] = file:match("^([%w_]+)%.lua$")
  end
  return names
end

local function text_of(path)
  return assert(fs.read(path))
end

local function params_of(list, sep, plain_methods)
  if sep == "." and plain_methods then list = list:gsub("^[^,]+,?%s*", "") end
  return (list:gsub("%s+", ""))
end

-- class -> method -> parameters ("?": made by another function), from the annotations.
-- `plain_methods`: those written with a dot have their object as first parameter.
local function read_classes(text, plain_methods, classes)
  local class_of, pending = {}, nil
  for line in text:gmatch("[^\n]+") do
    pending = line:match("^%-%-%-@class (rt%.%w+)") or pending
    local name = line:match("^local ([%w_]+) = {}$")
    if name and pending then class_of[name] = pending end
    if not line:find("^%-%-") then pending = nil end
    local owner, sep, method, list = line:match("^function ([%w_]+)([.:])([%w_]+)%((.-)%)")
    if not owner then
      owner, method = line:match("^([%w_]+)%.([%w_]+) = ")
      sep, list = ".", nil
    end
    local class = owner and class_of[owner]
    if class then
      classes[class] = classes[class] or {}
      classes[class][method] = list and params_of(list, sep, plain_methods) or "?"
    end
  end
  return classes
end

local function is_module_class(class)
  return class:find("^rt%.%l") ~= nil
end

local function real_classes()
  local classes = {}
  for _, dir in ipairs({ "lua", "lua/rt" }) do
    for _, name in ipairs(names_in(dir)) do
      read_classes(text_of(dir .. "/" .. name .. ".lua"), true, classes)
    end
  end
  classes["rt.File"] = nil -- what Lua's own io opens: editors know it
  return classes
end

local function meta_classes()
  local classes = {}
  for _, name in ipairs(names_in("lua/meta")) do
    read_classes(text_of("lua/meta/" .. name .. ".lua"), true, classes)
  end
  for class in pairs(classes) do
    if is_module_class(class) then classes[class] = nil end
  end
  return classes
end

-- The tables that a file of lua/meta makes when it is run.
local function run_meta(name)
  local chunk = assert(loadstring(text_of("lua/meta/" .. name .. ".lua"), "@lua/meta/" .. name))
  local env = { coroutine = {} }
  setfenv(chunk, env)
  return chunk(), env
end

-- Members of a module that are no functions, as its file says: fields of its class, assignments.
local function constants_of(name)
  local found, text = {}, text_of("lua/meta/" .. name .. ".lua")
  local fields = text:match("%-%-%-@class rt%." .. name .. "\n(.-)\n%f[%a]")
  for field in (fields or ""):gmatch("%-%-%-@field ([%w_]+)") do
    found[field] = true
  end
  for field in text:gmatch("\n" .. name .. "%.([%w_]+) = ") do
    found[field] = true
  end
  return found
end

local function sorted(set)
  local list = {}
  for key in pairs(set) do
    list[#list + 1] = key
  end
  table.sort(list)
  return table.concat(list, " ")
end

local function functions_of(t)
  local set = {}
  for key, value in pairs(t) do
    if type(value) == "function" then set[key] = true end
  end
  return set
end

-- Parameters and varargs; functions in C cannot tell.
local function shape_of(fn)
  local info = debug.getinfo(fn, "uS")
  if info.what == "C" then return nil end
  return info.nparams .. (info.isvararg and "+" or "")
end

local function compare_functions(where, meta, real)
  local known, there = sorted(functions_of(meta)), sorted(functions_of(real))
  assert.equal(where .. " " .. there, where .. " " .. known)
  for key, fn in pairs(real) do
    local shape = type(fn) == "function" and shape_of(fn)
    local name = where .. "." .. key .. " "
    if shape then assert.equal(name .. shape, name .. shape_of(meta[key])) end
  end
end

describe("lua/meta", function()
  for _, name in ipairs(names_in("lua")) do
    it("describes the module " .. name, function()
      local meta, real = run_meta(name), require(name)
      compare_functions(name, meta, real)
      local constants = constants_of(name)
      for key, value in pairs(real) do
        if type(value) ~= "function" then
          assert.is_true(constants[key], name .. "." .. tostring(key) .. " is missing")
          if type(value) == "table" and type(meta[key]) == "table" then
            compare_functions(name .. "." .. key, meta[key], value)
          end
        end
      end
      for key in pairs(constants) do
        assert.is_not_nil(real[key], name .. "." .. key .. " does not exist")
      end
    end)
  end

  it("describes nothing else but the globals", function()
    local modules = {}
    for _, name in ipairs(names_in("lua")) do
      modules[name] = true
    end
    local rest = {}
    for _, name in ipairs(names_in("lua/meta")) do
      if not modules[name] then rest[name] = true end
      local text = text_of("lua/meta/" .. name .. ".lua")
      assert.is_not_nil(text:find("^%-%-%-@meta " .. name .. "\n"))
    end
    assert.equal("capability coroutine", sorted(rest))
  end)

  it("describes the globals of every script", function()
    for _, name in ipairs({ "process", "channel", "errors" }) do
      local _, env = run_meta(name)
      assert.is_table(env[name])
      assert.equal(_G[name], require(name))
    end
    local _, env = run_meta("coroutine")
    for key in pairs(env.coroutine) do
      assert.is_function(coroutine[key])
    end
    assert.is_function(env.coroutine.spawn)
    _, env = run_meta("capability")
    assert.is_function(env.capability)
    assert.is_not_nil(capability)
  end)

  it("describes the methods of all objects", function()
    local real, meta = real_classes(), meta_classes()
    assert.equal(sorted(real), sorted(meta))
    for class, methods in pairs(real) do
      assert.equal(class .. " " .. sorted(methods), class .. " " .. sorted(meta[class]))
      for method, params in pairs(methods) do
        if params ~= "?" then
          local where = class .. ":" .. method
          assert.equal(where .. "(" .. params .. ")", where .. "(" .. meta[class][method] .. ")")
        end
      end
    end
  end)

  it("describes methods that objects have", function()
    local meta = meta_classes()
    local events, time = require("events"), require("time")
    local sub = assert(events.subscribe("meta.spec"))
    local awaiter = assert(events.awaiter("meta.spec"))
    local objects = {
      ["rt.Channel"] = channel.new(1),
      ["rt.Error"] = errors.new("x"),
      ["rt.Timer"] = time.timer(60),
      ["rt.Ticker"] = time.ticker(60),
      ["rt.Subscription"] = sub,
      ["rt.Subscriber"] = assert(events.on("meta.spec", nil, print)),
      ["rt.EventRouter"] = assert(events.router()),
      ["rt.Awaiter"] = awaiter,
      ["rt.Waiter"] = assert(awaiter:prepare("p")),
      ["rt.UdpSocket"] = assert(require("udp").open("127.0.0.1")),
      ["rt.Listener"] = assert(require("tcp").listen("127.0.0.1", 0)),
    }
    for class, object in pairs(objects) do
      for method in pairs(meta[class]) do
        assert.is_function(object[method], class .. ":" .. method)
      end
    end
    objects["rt.Timer"]:stop()
    objects["rt.Ticker"]:stop()
    objects["rt.Listener"]:close()
    objects["rt.UdpSocket"]:close()
  end)
end)
