--- rt.texts - the text of source files, read again only when a file has changed.
-- A process may be spawned, or a module required, from the same file a hundred thousand times a
-- second. The time of a change is as fine as the system's clock ticks: who changed a moment ago may
-- change again unseen, so that its text is not kept.
-- SPDX-License-Identifier: MIT
local core = require("rt.core.task")

local open = io.open
local stamp = core.stamp

local M = {}

local SETTLED = 1 -- seconds since the last change
local MOST = 256 -- files

-- path -> {text=, and what stamp() said before it was read}
local known, count = {}, 0

local function keep(path, file)
  if not known[path] then
    if count == MOST then
      known, count = {}, 0
    end
    count = count + 1
  end
  known[path] = file
end

local function forget(path)
  if known[path] then
    known[path] = nil
    count = count - 1
  end
end

--- The text of a file, or nil, err.
function M.read(path)
  local file, err = open(path, "rb")
  if not file then return nil, err end
  local text, why = file:read("*a")
  file:close()
  if not text then return nil, path .. ": " .. (why or "cannot be read") end
  return text
end

--- The same, from memory when the file is the one that was read before.
function M.get(path)
  local age, device, inode, size, seconds, nanoseconds = stamp(path)
  local file = known[path]
  if age and file and file.inode == inode and file.size == size and file.seconds == seconds
    and file.nanoseconds == nanoseconds and file.device == device then
    return file.text
  end
  local text, err = M.read(path)
  if text and age and age > SETTLED then
    keep(path, {
      text = text, device = device, inode = inode, size = size, seconds = seconds,
      nanoseconds = nanoseconds,
    })
  else
    forget(path)
  end
  return text, err
end

return M
