--- rt.test.fs - fs for capability tests: a tree of files in memory.
-- fakes.fs["/etc/hosts"] = "text"; true is a folder. What the capability writes is in the tree
-- afterwards (`files` of the case's check). SPDX-License-Identifier: MIT
local check = require("rt.check")
local errors = require("rt.errors")

local M = {}

local FILE_MODE, FOLDER_MODE = 420, 493

local function fail(path, kind, words)
  return nil, errors.make(("fs: %s: %s"):format(path, words), kind)
end

local function clean(path)
  path = path:gsub("/+", "/"):gsub("/%./", "/"):gsub("(.)/$", "%1")
  return path
end

local function parent_of(path)
  local folder = path:match("^(.*)/[^/]+$")
  if folder == "" then return "/" end
  return folder
end

-- A file with the folders above it.
local function put(tree, path, content)
  path = clean(path)
  tree[path] = content
  local above = parent_of(path)
  while above and tree[above] == nil do
    tree[above] = true
    above = parent_of(above)
  end
end

local function below(tree, folder)
  local prefix = folder == "/" and "/" or folder .. "/"
  local paths = {}
  for path in pairs(tree) do
    if path:sub(1, #prefix) == prefix and path ~= folder then paths[#paths + 1] = path end
  end
  table.sort(paths)
  return paths, prefix
end

local function node_of(tree, path, fname)
  path = clean(check.string(path, 1, fname))
  local node = tree[path]
  if path == "" then return fail(path, "INVALID", "empty path") end
  if node == nil then return fail(path, "NOT_FOUND", "no such file or folder") end
  return node, path
end

local function store(world, fname, path, data, opts)
  check.string(path, 1, fname)
  check.string(data, 2, fname)
  local tree = world.tree
  path = clean(path)
  world:note(("fs.%s %s"):format(fname, path))
  if tree[path] == true then return fail(path, "INVALID", "is a folder") end
  if opts and opts.exclusive and tree[path] then return fail(path, "ALREADY_EXISTS", "exists") end
  if fname == "append" then data = (tree[path] or "") .. data end
  put(tree, path, data)
  return true
end

local reading = {}

function reading.read(world, path, opts)
  world:note("fs.read " .. tostring(path))
  local node, err = node_of(world.tree, path, "read")
  if not node then return nil, err end
  if node == true then return fail(path, "INVALID", "is a folder") end
  if opts and opts.max and #node > opts.max then return fail(path, "INVALID", "too large") end
  return node
end

function reading.stat(world, path)
  local node, err = node_of(world.tree, path, "stat")
  if not node then return nil, err end
  local now, folder = world.time.now(), node == true
  return {
    type = folder and "directory" or "file",
    size = folder and 0 or #node,
    mode = folder and FOLDER_MODE or FILE_MODE,
    uid = 0, gid = 0, inode = 1, links = 1, atime = now, mtime = now, ctime = now,
  }
end

function reading.exists(world, path)
  check.string(path, 1, "exists")
  return world.tree[clean(path)] ~= nil
end

function reading.list(world, path)
  local node, where = node_of(world.tree, path, "list")
  if not node then return nil, where end
  if node ~= true then return fail(path, "INVALID", "is no folder") end
  local names, types = {}, {}
  local paths, prefix = below(world.tree, where)
  for _, each in ipairs(paths) do
    local name = each:sub(#prefix + 1)
    if not name:find("/", 1, true) then
      names[#names + 1] = name
      types[#types + 1] = world.tree[each] == true and "directory" or "file"
    end
  end
  return names, types
end

function reading.walk(world, path)
  local node, where = node_of(world.tree, path, "walk")
  if not node then return nil, where end
  local paths, prefix = below(world.tree, where)
  local i = 0
  return function()
    i = i + 1
    local each = paths[i]
    if not each then return nil end
    local _, depth = each:sub(#prefix + 1):gsub("/", "")
    return each, { type = world.tree[each] == true and "directory" or "file", depth = depth + 1 }
  end
end

function reading.realpath(world, path)
  local node, where = node_of(world.tree, path, "realpath")
  if not node then return nil, where end
  return where
end

local writing = {}

function writing.write(world, path, data, opts)
  return store(world, "write", path, data, opts)
end

function writing.append(world, path, data, opts)
  return store(world, "append", path, data, opts)
end

function writing.mkdir(world, path, opts)
  check.string(path, 1, "mkdir")
  world:note("fs.mkdir " .. path)
  if world.tree[clean(path)] and not (opts and opts.parents) then
    return fail(path, "ALREADY_EXISTS", "exists")
  end
  put(world.tree, path, true)
  return true
end

function writing.remove(world, path, opts)
  world:note("fs.remove " .. tostring(path))
  local node, where = node_of(world.tree, path, "remove")
  if not node then return nil, where end
  local paths = below(world.tree, where)
  if #paths > 0 and not (opts and opts.recursive) then
    return fail(path, "INVALID", "the folder is not empty")
  end
  for _, each in ipairs(paths) do
    world.tree[each] = nil
  end
  world.tree[where] = nil
  return true
end

function writing.rename(world, from, to)
  check.string(to, 2, "rename")
  world:note(("fs.rename %s %s"):format(tostring(from), to))
  local node, where = node_of(world.tree, from, "rename")
  if not node then return nil, where end
  local paths = below(world.tree, where)
  for _, each in ipairs(paths) do
    put(world.tree, clean(to) .. each:sub(#where + 1), world.tree[each])
    world.tree[each] = nil
  end
  world.tree[where] = nil
  put(world.tree, to, node)
  return true
end

local function temporary(content, fname)
  return function(world, prefix)
    check.optional_string(prefix, 1, fname)
    world.temporaries = (world.temporaries or 0) + 1
    local path = ("/tmp/%s-%06d"):format(prefix or "runtime", world.temporaries)
    put(world.tree, path, content)
    return path
  end
end
writing.temp_dir = temporary(true, "temp_dir")
writing.temp_file = temporary("", "temp_file")

function writing.watch(world)
  world:fault("fs.watch is not there in a capability test")
end

function M.install(world)
  world.tree = {}
  for path, content in pairs(world.fakes.fs or {}) do
    put(world.tree, path, content)
  end
  local module = {}
  for _, functions in ipairs({ reading, writing }) do
    for name, fn in pairs(functions) do
      module[name] = function(...)
        return fn(world, ...)
      end
    end
  end
  world.modules.fs = module
end

return M
