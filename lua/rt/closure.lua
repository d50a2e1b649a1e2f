--- rt.closure - a declaration made in a process, as bytes that any VM can make it from again.
-- Functions go as bytecode (it never leaves the library), with a copy of what they use from around
-- them: plain data, other functions, and the library's own modules and functions by name. What two
-- functions share stays shared between them in the copy. Anything else is refused by its path.
-- SPDX-License-Identifier: MIT
local buffer = require("string.buffer")
local declaration = require("rt.declaration")
local sandbox = require("rt.sandbox")
local source = require("rt.source")
local task_core = require("rt.core.task")

local M = {}

-- No Lua source and no bytecode begins like this.
local MAGIC = "\27rt.closure\0"

local getmetatable, getupvalue, setupvalue = debug.getmetatable, debug.getupvalue, debug.setupvalue
local upvalueid, upvaluejoin = debug.upvalueid, debug.upvaluejoin
local DEPTH = 100

-- library by name -------------------------------------------------------------------------------

-- value -> { module or "_G", key? }, and the way back
local paths

local function index_table(index, real, name)
  if type(real) ~= "table" then return end
  for key, value in pairs(real) do
    local kind = type(value)
    if kind == "function" or kind == "table" then index[value] = index[value] or { name, key } end
  end
end

local function module_of(name)
  if not task_core.embedded(name) then return sandbox.base[name] end
  local real = require(name)
  return type(real) == "table" and sandbox.freeze(real, name) or real
end

local function library_paths()
  if paths then return paths end
  paths = {}
  for name, value in pairs(sandbox.base) do
    paths[value] = { "_G", name }
    if type(value) == "table" then
      local meta = getmetatable(value)
      index_table(paths, meta and meta.__index or value, name)
    end
  end
  for _, name in ipairs(task_core.modules()) do
    if not name:find(".", 1, true) then
      paths[module_of(name)] = { name }
      index_table(paths, require(name), name)
    end
  end
  return paths
end

local function from_library(path)
  local name, key = path[1], path[2]
  if name == "_G" then return sandbox.base[key] end
  local module = module_of(name)
  if key == nil then return module end
  return module[key]
end

-- packing ---------------------------------------------------------------------------------------

-- A reference is { value } for plain values, or the number of a node.
local pack_value

local function refuse(path, value)
  error({ refused = ("%s: %s"):format(path, type(value)) }, 0)
end

local function sorted_keys(t)
  local keys = {}
  for key in pairs(t) do
    keys[#keys + 1] = key
  end
  table.sort(keys, function(a, b)
    if type(a) == type(b) and type(a) ~= "boolean" and type(a) ~= "table" then
      return type(a) ~= "function" and a < b
    end
    return type(a) < type(b)
  end)
  return keys
end

local function pack_table(graph, node, t, path, depth)
  if getmetatable(t) and not declaration.is(t) then
    error({ refused = path .. ": object" }, 0)
  end
  node.kind, node.pairs = "table", {}
  for _, key in ipairs(sorted_keys(t)) do
    if type(key) ~= "string" and type(key) ~= "number" and type(key) ~= "boolean" then
      refuse(path, key)
    end
    local list = node.pairs
    list[#list + 1] = { key, pack_value(graph, t[key], path .. "." .. tostring(key), depth + 1) }
  end
end

local function pack_cell(graph, fn, i, value, path, depth)
  local id = upvalueid(fn, i)
  local cell = graph.cell_of[id]
  if not cell then
    cell = #graph.cells + 1
    graph.cell_of[id] = cell
    graph.cells[cell] = false -- taken, before what it holds comes back to it
    graph.cells[cell] = pack_value(graph, value, path, depth + 1)
  end
  return cell
end

local function pack_function(graph, node, fn, path, depth)
  local ok, code = pcall(string.dump, fn)
  if not ok then error({ refused = path .. ": C function" }, 0) end
  node.kind, node.code, node.cells = "function", code, {}
  for i = 1, math.huge do
    local name, value = getupvalue(fn, i)
    if not name then return end
    node.cells[i] = pack_cell(graph, fn, i, value, path .. "." .. name, depth)
  end
end

function pack_value(graph, value, path, depth)
  local kind = type(value)
  if kind == "nil" or kind == "boolean" or kind == "number" or kind == "string" then
    return { value }
  end
  if depth > DEPTH then error({ refused = path .. ": nested too deep" }, 0) end
  local at = graph.node_of[value]
  if at then return at end
  local node = {}
  at = #graph.nodes + 1
  graph.nodes[at], graph.node_of[value] = node, at
  local library = library_paths()[value]
  if library then
    node.kind, node.path = "library", library
  elseif kind == "table" then
    pack_table(graph, node, value, path, depth)
  elseif kind == "function" then
    pack_function(graph, node, value, path, depth)
  else
    refuse(path, value)
  end
  return at
end

function M.is_packed(text)
  return text:sub(1, #MAGIC) == MAGIC
end

--- The bytes of a checked declaration, or nil and what cannot be copied.
function M.pack(decl)
  local graph = { nodes = {}, node_of = {}, cells = {}, cell_of = {} }
  local ok, root = pcall(pack_value, graph, decl, decl.name, 0)
  if not ok then
    if type(root) == "table" and root.refused then return nil, root.refused end
    error(root, 0)
  end
  return MAGIC .. buffer.encode({ root = root, nodes = graph.nodes, cells = graph.cells })
end

-- unpacking -------------------------------------------------------------------------------------

local function make_node(node, env)
  if node.kind == "library" then return from_library(node.path) end
  if node.kind == "table" then return {} end
  return (assert(source.load_function(node.code, env)))
end

local function value_of(values, ref)
  if type(ref) == "table" then return ref[1] end
  return values[ref]
end

-- The first function to use a cell owns it, the others join it.
local function fill_function(graph, values, owners, fn, node)
  for i, cell in ipairs(node.cells) do
    local owner = owners[cell]
    if owner then
      upvaluejoin(fn, i, owner.fn, owner.i)
    else
      owners[cell] = { fn = fn, i = i }
      setupvalue(fn, i, value_of(values, graph.cells[cell]))
    end
  end
end

--- The declaration again, its functions with `env` as their globals.
function M.unpack(text, env)
  local graph = buffer.decode(text:sub(#MAGIC + 1))
  local values, owners = {}, {}
  for at, node in ipairs(graph.nodes) do
    values[at] = make_node(node, env)
  end
  for at, node in ipairs(graph.nodes) do
    if node.kind == "table" then
      for _, pair in ipairs(node.pairs) do
        values[at][pair[1]] = value_of(values, pair[2])
      end
    elseif node.kind == "function" then
      fill_function(graph, values, owners, values[at], node)
    end
  end
  return values[graph.root]
end

return M
