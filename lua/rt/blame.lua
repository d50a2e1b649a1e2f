--- rt.blame - errors of the library that name the line of the script which called it.
-- A function in C that raises puts the line of its caller in front. What does the work of one in
-- Lua may be several calls deep, so that no level is right; and when C called it, there is none.
-- SPDX-License-Identifier: MIT
local error = error
local find = string.find
local getinfo = debug.getinfo

local M = {}

local function is_ours(info)
  return find(info.source, "=rt/", 1, true) == 1
end

-- "file:line: " of the innermost function that is not the library's.
local function place()
  local level = 3
  local info = getinfo(level, "Sl")
  while info and is_ours(info) do
    level = level + 1
    info = getinfo(level, "Sl")
  end
  if not info or info.currentline < 0 then return "" end
  return info.short_src .. ":" .. info.currentline .. ": "
end

--- Raises what a function of C would raise with these words.
function M.raise(words)
  error(place() .. words, 0)
end

return M
