--- fs - files and folders. Every call suspends only the calling coroutine.
-- A path that is empty or has a zero byte in it is answered with nil, INVALID. Pipes, terminals and
-- other devices are never waited for: what is not there at once is UNAVAILABLE.
-- SPDX-License-Identifier: MIT
local channel = require("rt.channel").internal
local check = require("rt.check")
local core = require("rt.core.fs")
local errors = require("rt.errors")
local task = require("rt.task")

local M = {}

-- Bytes that fs.read takes unless told otherwise.
local READ_MAX = 256 * 1024 * 1024

-- Argument `n`, and why it is no path.
local function bad_path(path, n, fname)
  if type(path) ~= "string" then
    check.fail(n, fname, "string expected, got " .. type(path), 2)
  end
  if path == "" then return errors.make("fs: empty path", "INVALID") end
  if path:find("\0", 1, true) then
    return errors.make("fs: path with a zero byte", "INVALID")
  end
end

local function mode_of(opts, fallback, fname)
  local mode = check.optional_integer(opts.mode, "mode", fname)
  return mode or fallback
end

--- The whole file.
---@param path string
---@param opts {max: integer?}?  INVALID for a longer one (default 256 MiB)
---@return string? data, rt.Error? err
function M.read(path, opts)
  local err = bad_path(path, 1, "read")
  check.optional_table(opts, 2, "read")
  local max = opts and check.optional_integer(opts.max, "max", "read") or READ_MAX
  if max < 0 then check.fail("max", "read", "must not be negative") end
  if err then return nil, err end
  return task.await(core.read(path, max))
end

--- Make `data` the file's content.
---@param opts {mode: integer?, exclusive: boolean?}?  mode of a new file (420 = rw-r--r--);
--- exclusive: ALREADY_EXISTS when it is there
---@return true? ok, rt.Error? err
function M.write(path, data, opts)
  local err = bad_path(path, 1, "write")
  check.string(data, 2, "write")
  opts = check.optional_table(opts, 3, "write") or {}
  local mode = mode_of(opts, 420, "write")
  if err then return nil, err end
  return task.await(core.write(path, data, mode, false, opts.exclusive == true))
end

--- Add `data` at the end; creates the file.
---@param opts {mode: integer?}?
---@return true? ok, rt.Error? err
function M.append(path, data, opts)
  local err = bad_path(path, 1, "append")
  check.string(data, 2, "append")
  opts = check.optional_table(opts, 3, "append") or {}
  local mode = mode_of(opts, 420, "append")
  if err then return nil, err end
  return task.await(core.write(path, data, mode, true, false))
end

--- What is at `path`.
---@param opts {follow: boolean?}?  follow=false: a link itself, not what it points to
---@return {type: string, size: integer, mode: integer, uid: integer, gid: integer, inode: integer,
--- links: integer, atime: number, mtime: number, ctime: number}? stat, rt.Error? err
function M.stat(path, opts)
  local err = bad_path(path, 1, "stat")
  check.optional_table(opts, 2, "stat")
  if err then return nil, err end
  return task.await(core.stat(path, opts ~= nil and opts.follow == false))
end

--- Is something there?
---@return boolean? there, rt.Error? err
function M.exists(path)
  local err = bad_path(path, 1, "exists")
  if err then return nil, err end
  local stat
  stat, err = task.await(core.stat(path, false))
  if stat then return true end
  if errors.is(err, "NOT_FOUND") then return false end
  return nil, err
end

--- Names in a folder, in byte order, without "." and ".."; and their types in a second list
--- ("file", "directory", "link", "pipe", "socket", "device", "unknown").
---@return string[]? names, string[]|rt.Error types
function M.list(path)
  local err = bad_path(path, 1, "list")
  if err then return nil, err end
  return task.await(core.list(path))
end

local function join(folder, name)
  if folder:sub(-1) == "/" then return folder .. name end
  return folder .. "/" .. name
end

-- Puts what is in `folder` on the stack so that the first name comes off first.
local function push_folder(stack, folder, depth)
  local names, types = task.await(core.list(folder))
  if not names then return types end
  for i = #names, 1, -1 do
    stack[#stack + 1] = { path = join(folder, names[i]), type = types[i], depth = depth }
  end
end

--- Everything below a folder, each folder before its content, names in byte order; links are not
--- followed. `for path, info in fs.walk(root) do`, with info {type=, depth=} (1 below the root) and
--- info.error when a folder cannot be read.
---@param path string
---@return function? iterator, rt.Error? err
function M.walk(path)
  local err = bad_path(path, 1, "walk")
  if err then return nil, err end
  local stack = {}
  err = push_folder(stack, path, 1)
  if err then return nil, err end
  return function()
    local top = table.remove(stack)
    if not top then return nil end
    local info = { type = top.type, depth = top.depth }
    if top.type == "directory" then
      info.error = push_folder(stack, top.path, top.depth + 1)
    end
    return top.path, info
  end
end

--- Make a folder.
---@param opts {parents: boolean?, mode: integer?}?  parents: those above it too, and it may exist
---@return true? ok, rt.Error? err
function M.mkdir(path, opts)
  local err = bad_path(path, 1, "mkdir")
  opts = check.optional_table(opts, 2, "mkdir") or {}
  local mode = mode_of(opts, 493, "mkdir")
  if err then return nil, err end
  return task.await(core.mkdir(path, mode, opts.parents == true))
end

--- Remove a file or a folder.
---@param opts {recursive: boolean?}?  recursive: a folder with all that is in it
---@return true? ok, rt.Error? err
function M.remove(path, opts)
  local err = bad_path(path, 1, "remove")
  check.optional_table(opts, 2, "remove")
  if err then return nil, err end
  return task.await(core.remove(path, opts ~= nil and opts.recursive == true))
end

--- Give another name; a file of that name is replaced.
---@return true? ok, rt.Error? err
function M.rename(from, to)
  local err = bad_path(from, 1, "rename") or bad_path(to, 2, "rename")
  check.string(to, 2, "rename")
  if err then return nil, err end
  return task.await(core.rename(from, to))
end

--- The absolute path without links.
---@return string? path, rt.Error? err
function M.realpath(path)
  local err = bad_path(path, 1, "realpath")
  if err then return nil, err end
  return task.await(core.real(path))
end

local function temp_template(prefix, fname)
  check.optional_string(prefix, 1, fname)
  if prefix and prefix:find("[/%z]") then check.fail(1, fname, "name expected", 2) end
  return (os.getenv("TMPDIR") or "/tmp") .. "/" .. (prefix or "runtime") .. "-XXXXXX"
end

--- A new folder (or empty file) in $TMPDIR, for its maker alone.
---@param prefix string?
---@return string? path, rt.Error? err
function M.temp_dir(prefix)
  return task.await(core.temp(temp_template(prefix, "temp_dir"), true))
end

---@param prefix string?
---@return string? path, rt.Error? err
function M.temp_file(prefix)
  return task.await(core.temp(temp_template(prefix, "temp_file"), false))
end

-- Watching ------------------------------------------------------------------------------------

---@class rt.Watch
local watch = {}
local watch_meta = { __index = watch, __metatable = false, __name = "watch" }

-- The fiber of a watch: from C to the channel, until it is closed.
local function follow(self)
  repeat
    local changes, lost = task.await(core.next(self.core))
    for i = 1, changes and #changes or 0, 2 do
      channel.push(self.changes, { path = changes[i], event = changes[i + 1] })
    end
    if changes and lost > 0 then channel.push(self.changes, { event = "lost", count = lost }) end
  until not changes
  channel.close(self.changes)
end

--- Changes of a file, or of what is in a folder (not below its folders).
---@param path string
---@return rt.Watch? watch, rt.Error? err
function M.watch(path)
  local err = bad_path(path, 1, "watch")
  if err then return nil, err end
  local handle
  handle, err = core.watch(path)
  if not handle then return nil, err end
  local changes = channel.new({ library = true })
  local self = setmetatable({ core = handle, changes = changes }, watch_meta)
  task.spawn(follow, self)
  return self
end

--- Channel of {path=, event="change"|"rename"}: path is the name inside the folder; a file that
--- comes or goes is a "rename". {event="lost", count=} when there were too many to keep.
---@return rt.Channel
function watch:channel()
  return self.changes
end

--- Stop watching; the channel closes. Idempotent.
function watch:close()
  core.unwatch(self.core)
  return true
end

return M
