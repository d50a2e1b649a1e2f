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
local MOST_BYTES = 4 * 1024 * 1024 -- of text; a file with more than a quarter of it is not kept

-- path -> {text=, and what stamp() said before it was read}
local known, count, bytes = {}, 0, 0

local function forget(path)
  local file = known[path]
  if not file then return end
  known[path] = nil
  count, bytes = count - 1, bytes - #file.text
end

local function keep(path, file)
  local size = #file.text
  forget(path)
  if size > MOST_BYTES / 4 then return end
  if count == MOST or bytes + size > MOST_BYTES then
    known, count, bytes = {}, 0, 0
  end
  known[path] = file
  count, bytes = count + 1, bytes + size
end

--- How many texts are kept, and their bytes.
function M.kept()
  return count, bytes
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
