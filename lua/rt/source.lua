--- rt.source - how scripts' code is found, compiled once per VM, and made anew for each process.
-- A source is compiled once; each process gets closures of its own over the shared prototypes, so
-- that all of them share compiled traces. Modules of scripts are instances of their process; the
-- library's are shared and frozen.
-- SPDX-License-Identifier: MIT
local core = require("rt.core.task")
local declaration = require("rt.declaration")
local host = require("rt.host")
local permit = require("rt.permit")
local sandbox = require("rt.sandbox")
local task = require("rt.task")
local texts = require("rt.texts")

local load, setmetatable, error, type, pcall = load, setmetatable, error, type, pcall
local clone, compile = core.clone, core.compile

local M = {}
local settings = core.settings()

-- --- compiling -----------------------------------------------------------------------------------

-- chunk name -> text -> the function whose prototype is shared; and bytecode -> likewise
local compiled = {}
local functions = {}

--- A first line that begins with "#" is for the shell.
local function without_shebang(text)
  if text:byte(1) == 35 then return "--" .. text end
  return text
end

--- The shared function of a source, never to be called itself.
function M.compile(text, name)
  local named = compiled[name]
  local fn = named and named[text]
  if fn then return fn end
  local err
  fn, err = compile(without_shebang(text), name, settings.unsafe and "bt" or "t")
  if not fn then return nil, err end
  if not named then
    named = {}
    compiled[name] = named
  end
  named[text] = fn
  return fn
end

--- A new main function of the source, with `env` as its globals.
function M.load(text, name, env)
  local fn, err = M.compile(text, name)
  if not fn then return nil, err end
  return clone(fn, env)
end

--- A new function from the bytecode the library made of a function.
function M.load_function(code, env)
  local fn = functions[code]
  if not fn then
    local err
    fn, err = load(code, "=function", "b")
    if not fn then return nil, err end
    functions[code] = fn
  end
  return clone(fn, env)
end

M.globals = sandbox.globals

-- --- files ---------------------------------------------------------------------------------------

--- The text of a file, or nil, err.
M.read = texts.read

-- --- require -------------------------------------------------------------------------------------

local function default_path()
  local dir = settings.script_dir
  local path = "./?.lua;./?/init.lua"
  if dir then path = dir .. "/?.lua;" .. dir .. "/?/init.lua;" .. path end
  return path
end

local function package_state()
  local state = task.state()
  local mine = state.package
  if not mine then
    mine = { loaded = {}, preload = {}, path = default_path(), cpath = "", loading = {} }
    state.package = mine
  end
  return mine
end

-- The library's modules that scripts may require, filled by load_library().
local public = {}
--- name -> module, of all that scripts may require.
function M.public()
  return public
end

-- name -> why it could not be loaded, told to who requires it
local broken = {}

local extensions = { ["table.new"] = true, ["table.clear"] = true }

local function from_library(name)
  if public[name] then return public[name] end
  if broken[name] then error(broken[name], 0) end
  if extensions[name] then return require(name) end
  local given = host.module(name)
  if given then
    public[name] = sandbox.freeze(given, name)
    return public[name]
  end
  local base = sandbox.base[name]
  if type(base) == "table" then return base end
  return nil
end

local function search(name, path)
  local tried = {}
  local file_name = name:gsub("%.", "/")
  for template in path:gmatch("[^;]+") do
    local file_path = template:gsub("%?", (file_name:gsub("%%", "%%%%")))
    local text = texts.get(file_path)
    if text then return text, file_path end
    tried[#tried + 1] = "\n\tno file '" .. file_path .. "'"
  end
  return nil, table.concat(tried)
end

M.search = search

local function find_loader(mine, name)
  local preloaded = mine.preload[name]
  if preloaded then return preloaded end
  local text, where = host.source(name), name
  local of_host = text ~= nil
  if not of_host then
    text, where = search(name, mine.path)
  end
  if not text then
    local tried = "\n\tno field package.preload['" .. name .. "']" .. where
    error("module '" .. name .. "' not found:" .. tried, 3)
  end
  if mine.noted and not of_host then mine.noted[#mine.noted + 1] = { path = where, text = text } end
  local fn, err = M.load(text, "@" .. where, core.globals())
  if not fn then
    error("error loading module '" .. name .. "' from file '" .. where .. "':\n\t" .. err, 3)
  end
  return fn
end

--- From now on the files of modules that the running process requires are noted in the list this
--- answers: {path, text} each.
function M.note_modules()
  local noted = {}
  package_state().noted = noted
  return noted
end

local function load_module(mine, name)
  if mine.loading[name] then error("loop or previous error loading module '" .. name .. "'", 3) end
  local loader = find_loader(mine, name)
  mine.loading[name] = true
  local ok, value = pcall(loader, name)
  mine.loading[name] = nil
  if not ok then error(value, 0) end
  if value ~= nil then mine.loaded[name] = value end
  if mine.loaded[name] == nil then mine.loaded[name] = true end
  return mine.loaded[name]
end

local function safe_require(name)
  if type(name) ~= "string" then
    error("bad argument #1 to 'require' (string expected, got " .. type(name) .. ")", 2)
  end
  local mine = package_state()
  local value = mine.loaded[name]
  if value ~= nil then return value end
  if mine.preload[name] == nil then
    value = from_library(name)
    if value ~= nil then return value end
  end
  local unknown = mine.preload[name] == nil and not host.source(name)
  if settings.unsafe and unknown and not search(name, mine.path) then
    return M.unsafe_require(name)
  end
  return load_module(mine, name)
end

local writable = { path = true, cpath = true, loaded = true, preload = true }

local package = setmetatable({ config = "/\n;\n?\n!\n-\n" }, {
  __index = function(_, key)
    if writable[key] then return package_state()[key] end
    return nil
  end,
  __newindex = function(_, key, value)
    if not writable[key] then error("the library 'package' is frozen", 2) end
    package_state()[key] = value
  end,
  __metatable = false,
})

local function safe_loadfile(path, _, env)
  if type(path) ~= "string" then
    error("bad argument #1 to 'loadfile' (string expected, got " .. type(path) .. ")", 2)
  end
  local denied = permit.denied("fs", "loadfile")
  if denied then return nil, denied end
  local text, err = M.read(path)
  if not text then return nil, "cannot open " .. err end
  local mode = settings.unsafe and "bt" or "t"
  return compile(without_shebang(text), "@" .. path, mode, env or core.globals())
end

local function safe_dofile(path)
  local fn, err = safe_loadfile(path)
  if not fn then error(err, 2) end
  return fn()
end

sandbox.complete({
  require = safe_require,
  loadfile = safe_loadfile,
  dofile = safe_dofile,
})
sandbox.base.package = package

--- Load the whole library, at the VM's start: a process could be stopped half-way through it.
function M.load_library()
  local recording = settings.record and require("rt.record")
  for _, name in ipairs(core.modules()) do
    if not name:find(".", 1, true) then
      local ok, module = pcall(require, name)
      if ok then
        if recording and recording.modules[name] then module = recording.wrap(name, module) end
        module = permit.module(name, module)
        public[name] = type(module) == "table" and sandbox.freeze(module, name) or module
      else
        broken[name] = module
      end
    end
  end
  for _, name in ipairs({ "process", "channel", "errors" }) do
    sandbox.base[name] = public[name]
  end
  sandbox.base.capability = require("rt.declaration").capability
end

-- --- what a process runs -------------------------------------------------------------------------

-- Its chunk returns the process function, or is run itself when it returns none.
local function run_source(chunk, ...)
  local fn = chunk(...)
  if type(fn) == "function" then return fn(...) end
  return fn
end

local function script_args(name, ...)
  local args = { ... }
  args[0] = name:gsub("^[@=]", "")
  return args
end

--- The source of a path (with "/" or ".lua") or a module name -> text, chunk name, or nil, err.
function M.find(source, path)
  if source:find("/", 1, true) or source:find("%.lua$") then
    local text, err = texts.get(source)
    if not text then return nil, err end
    return text, "@" .. source
  end
  local text, where = search(source, path or default_path())
  if not text then return nil, "module '" .. source .. "' not found:" .. where end
  return text, "@" .. where
end

--- The running process's package.path.
function M.path()
  return package_state().path
end

-- There was nothing to run yet, so the traceback would only show this library.
local function fail(message)
  task.state().unloaded = true
  error(message, 0)
end

local start

-- A process that a supervisor started knows it.
local function run_child(parent, fn, ...)
  task.state().supervisor = parent
  return fn(...)
end

-- A file of capabilities that is run as a script would do nothing, and not say so.
local function answer_of(name, value, ...)
  local first = type(value) == "table" and rawget(value, 1)
  if declaration.is(value) or (first and declaration.is(first)) then
    local file = name:sub(1, 1) == "@" and name:sub(2) or "FILE"
    error(("%s declares a capability, it is no script: runtime run -c %s -s CLASS:VALUE"):format(
      file, file), 0)
  end
  return value, ...
end

local function run_main(fn, name, ...)
  return answer_of(name, fn(...))
end

local function child(kind, text, name, parent, ...)
  local function with_parent(globals, fn, ...)
    return globals, run_child, parent, fn, ...
  end
  return with_parent(start(text, name, kind, ...))
end

--- What the scheduler runs in a new process: a function and its arguments. A main script's own
-- chunk is its function; "library": the function `run` of one of our modules.
---@param kind "main"|"source"|"function"|"find"|"child-source"|"child-function"|"library"
function start(text, name, kind, ...)
  if kind == "child-function" then return child("function", text, name, ...) end
  if kind == "child-source" then return child("source", text, name, ...) end
  local globals = sandbox.globals()
  local fn, err
  if kind == "library" then return globals, require(text).run, ... end
  if kind == "function" then
    fn, err = M.load_function(text, globals)
    if not fn then return globals, fail, err end
    return globals, fn, ...
  end
  if kind == "find" then
    text, name = M.find(text)
    if not text then
      return globals, fail, require("errors").new({ message = name, kind = "NOT_FOUND" })
    end
  end
  fn, err = M.load(text, name, globals)
  if not fn then return globals, fail, err end
  if kind == "main" then
    globals.arg = script_args(name, ...)
    if text:find("return%s+capability%f[^%w_]") then return globals, run_main, fn, name, ... end
    return globals, fn, ...
  end
  return globals, run_source, fn, ...
end
M.start = start

function M.unsafe_require(name)
  return require(name)
end

return M
