--- rt.file - file objects as io.open makes them: buffered both ways, without blocking a worker.
-- One position serves reading and writing, as in C. `pos` is where the next bytes from disk come
-- from, so what the script sees lies `pending` bytes before it.
-- SPDX-License-Identifier: MIT
local check = require("rt.check")
local core = require("rt.core.io")
local reader = require("rt.reader")
local task = require("rt.task")

local M = {}

local CHUNK = 65536

---@class rt.File
local methods = {}
-- The name keeps getmetatable() from telling more, and the object from being frozen.
M.meta = {
  __index = methods,
  __metatable = "FILE*",
  __tostring = function(self)
    return self.core and ("file (%s)"):format(self.path) or "file (closed)"
  end,
}
M.methods = methods

local function fill(self)
  local data, err = task.await(core.read(self.core, CHUNK, self.pos))
  if not data then return nil, err end
  self.pos = self.pos + #data
  return data
end

local function opened(self, fname, level)
  if type(self) ~= "table" or getmetatable(self) ~= "FILE*" then
    check.fail(0, fname, "file expected", (level or 1) + 1)
  end
  if not self.core then error("attempt to use a closed file", (level or 1) + 2) end
end

-- Writes out what is held back.
local function flush(self)
  if core.held(self.core) == 0 then return true end
  return task.await(core.flush(self.core))
end

--- Open a file; a mode as of fopen.
---@return rt.File? file, rt.Error? err
function M.open(path, mode)
  local handle, err = task.await(core.open(path, mode))
  if not handle then return nil, err end
  local self = { core = handle, path = path, pos = 0, append = mode:sub(1, 1) == "a" }
  self.readable = mode:find("[r+]") ~= nil
  self.writable = mode:find("[wa+]") ~= nil
  return setmetatable(reader.init(self, fill), M.meta)
end

-- Lua's own words for a file that is open the other way.
local function wrong_way()
  return nil, require("rt.errors").make("io: file is not open for this", "INVALID")
end

function methods:read(...)
  opened(self, "read")
  if not self.readable then return wrong_way() end
  local ok, err = flush(self)
  if not ok then return nil, err end
  return reader.read(self, "read", ...)
end

function methods:lines(...)
  opened(self, "lines")
  local formats, count = { ... }, select("#", ...)
  return function()
    opened(self, "lines")
    local ok, err = flush(self)
    if not ok then error(err, 2) end
    local line
    line, err = reader.read(self, "lines", unpack(formats, 1, count))
    if err then error(err, 2) end
    return line
  end
end

function methods:write(...)
  opened(self, "write")
  if not self.writable then return wrong_way() end
  self.pos = self.pos - reader.pending(self)
  reader.discard(self)
  for i = 1, select("#", ...) do
    local text = select(i, ...)
    if type(text) == "number" then text = tostring(text) end
    check.string(text, i, "write")
    local due = core.write(self.core, text, self.pos)
    self.pos = self.pos + #text
    if due or self.unbuffered then
      local ok, err = flush(self)
      if not ok then return nil, err end
    end
  end
  return self
end

function methods:flush()
  opened(self, "flush")
  local ok, err = flush(self)
  if not ok then return nil, err end
  return self
end

--- "no" writes at once; else writes are held back until there are 64 KiB of them.
function methods:setvbuf(mode)
  opened(self, "setvbuf")
  check.optional_one_of(mode, 1, "setvbuf", { no = true, full = true, line = true })
  self.unbuffered = mode == "no"
  return true
end

local function origin(self, whence)
  if whence == "set" then return 0 end
  if whence == "cur" then return self.pos - reader.pending(self) end
  return core.size(self.core)
end

function methods:seek(whence, offset)
  opened(self, "seek")
  whence = check.optional_one_of(whence, 1, "seek", { set = true, cur = true, ["end"] = true })
  offset = check.optional_integer(offset, 2, "seek") or 0
  local ok, err = flush(self)
  if not ok then return nil, err end
  local from = origin(self, whence or "cur")
  if not from or from + offset < 0 then
    return nil, require("rt.errors").make("io: cannot seek in '" .. self.path .. "'", "INVALID")
  end
  self.pos = from + offset
  reader.discard(self)
  return self.pos
end

function methods:close()
  opened(self, "close")
  local handle = self.core
  local ok, err = flush(self)
  self.core = nil
  core.close(handle)
  if not ok then return nil, err end
  return true
end

return M
