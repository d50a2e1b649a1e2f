--- rt.callbacks - library functions that call back into scripts, in Lua instead of C.
-- The C versions of table.sort, string.gsub and tostring hold a C frame while the script's function
-- runs: such a function could neither wait nor be preempted. These behave alike and hold none. What
-- calls nothing back is still left to C; a gsub that takes long there begins again here.
-- SPDX-License-Identifier: MIT
local match = require("rt.match")
local raise = require("rt.blame").raise

local error, pcall, type, select, rawequal = error, pcall, type, select, rawequal
local ceil, floor, tobit = math.ceil, math.floor, require("bit").tobit
local tonumber, raw_tostring = tonumber, tostring
local getmetatable = debug.getmetatable
local byte, find, sub = string.byte, string.find, string.sub
local raw_gsub, raw_gmatch = string.gsub, string.gmatch
local concat, raw_sort = table.concat, table.sort

local M = {}

-- --- table.sort ----------------------------------------------------------------------------------

local MANY = 10000 -- items that C may work on at once
local SMALL = 12 -- runs up to this length are sorted by insertion

local function insertion(t, first, last, less)
  for i = first + 1, last do
    local value = t[i]
    local j = i - 1
    while j >= first and less(value, t[j]) do
      t[j + 1] = t[j]
      j = j - 1
    end
    t[j + 1] = value
  end
end

local function sift(t, first, i, count, less)
  local value = t[first + i]
  while true do
    local child = i * 2 + 1
    if child >= count then break end
    if child + 1 < count and less(t[first + child], t[first + child + 1]) then child = child + 1 end
    if not less(value, t[first + child]) then break end
    t[first + i] = t[first + child]
    i = child
  end
  t[first + i] = value
end

-- For what quicksort divides badly.
local function heap(t, first, last, less)
  local count = last - first + 1
  for i = floor(count / 2) - 1, 0, -1 do
    sift(t, first, i, count, less)
  end
  for n = count - 1, 1, -1 do
    t[first], t[first + n] = t[first + n], t[first]
    sift(t, first, 0, n, less)
  end
end

local function bad_order()
  raise("invalid order function for sorting")
end

-- Moves the median of three to the middle and returns it.
local function pivot_of(t, first, last, less)
  local middle = floor((first + last) / 2)
  if less(t[middle], t[first]) then t[middle], t[first] = t[first], t[middle] end
  if less(t[last], t[middle]) then
    t[last], t[middle] = t[middle], t[last]
    if less(t[middle], t[first]) then t[middle], t[first] = t[first], t[middle] end
  end
  return t[middle]
end

local function quick(t, first, last, less, depth)
  while last - first > SMALL do
    if depth == 0 then return heap(t, first, last, less) end
    depth = depth - 1
    local pivot = pivot_of(t, first, last, less)
    local i, j = first, last
    repeat
      while less(t[i], pivot) do
        i = i + 1
        if i > last then bad_order() end
      end
      while less(pivot, t[j]) do
        j = j - 1
        if j < first then bad_order() end
      end
      if i <= j then
        t[i], t[j] = t[j], t[i]
        i, j = i + 1, j - 1
      end
    until i > j
    if j - first < last - i then
      quick(t, first, j, less, depth)
      first = i
    else
      quick(t, i, last, less, depth)
      last = j
    end
  end
  insertion(t, first, last, less)
end

local function ascending(a, b)
  return a < b
end

local function has_order(a, kind, b)
  if kind ~= type(b) then return false end
  if kind == "number" or kind == "string" then return true end
  local one, other = getmetatable(a), getmetatable(b)
  local less = one and one.__lt
  return less ~= nil and other ~= nil and rawequal(less, other.__lt)
end

-- The same, when something may be among them that has no order: C names no line then.
local function ascending_if(a, b)
  local kind = type(a)
  if has_order(a, kind, b) then return a < b end
  local other = type(b)
  local both = kind == other and "two " .. kind .. " values" or kind .. " with " .. other
  error("attempt to compare " .. both, 0)
end

local function is_all(t, count, kind)
  for i = 2, count do
    if type(t[i]) ~= kind then return false end
  end
  return kind == "number" or kind == "string"
end

function M.sort(t, less)
  if type(t) ~= "table" then
    error("bad argument #1 to 'sort' (table expected, got " .. type(t) .. ")", 2)
  end
  if less ~= nil and type(less) ~= "function" then
    error("bad argument #2 to 'sort' (function expected, got " .. type(less) .. ")", 2)
  end
  local count = #t
  if count < 2 then return end
  if not less then
    local kind = type(t[1])
    if count <= MANY and (kind == "number" or kind == "string") then return raw_sort(t) end
    less = is_all(t, count, kind) and ascending or ascending_if
  end
  local depth, n = 2, count
  while n > 1 do
    n, depth = n / 2, depth + 2
  end
  quick(t, 1, count, less, depth)
end

-- --- table.concat --------------------------------------------------------------------------------

local function concat_parts(t, separator, first, last)
  local parts = {}
  for i = first, last, MANY do
    local stop = i + MANY - 1
    local ok, part = pcall(concat, t, separator, i, stop < last and stop or last)
    if not ok then error(part, 2) end
    parts[#parts + 1] = part
  end
  return M.concat(parts, separator)
end

--- As in C, some items at a time. What is wrong with an argument is left to C to say.
function M.concat(t, separator, first, last)
  if type(t) == "table" and (first == nil or type(first) == "number")
    and (last == nil or type(last) == "number")
    and (separator == nil or type(separator) == "string" or type(separator) == "number") then
    local from, to = first or 1, last or #t
    if to - from >= MANY and from >= -2 ^ 31 and to < 2 ^ 31 and from % 1 == 0 then
      return concat_parts(t, separator, from, to)
    end
  end
  return concat(t, separator, first, last)
end

-- --- patterns ------------------------------------------------------------------------------------

-- What string.find is to be given for what gsub and gmatch got: a pattern ends at a zero. nil: for
-- find it would be no pattern, and all there is to do is to raise an error.
local function as_pattern(pattern)
  pattern = raw_tostring(pattern)
  local zero = find(pattern, "\0", 1, true)
  if zero then pattern = sub(pattern, 1, zero - 1) end
  if find(pattern, ")", 1, true) and not find(pattern, "[%^%$%*%+%?%.%(%[%%%-]") then return nil end
  return pattern
end

-- Patterns that were found to have nothing wrong in them.
local sound, sound_count = {}, 0
local SOUND_MOST = 256
local LONG = 150 -- a longer one may be too complex, which depends on the text

local function is_sound(pattern)
  if sound[pattern] then return true end
  if #pattern > LONG then return false end
  if not find(pattern, "[%%()%[]") then return true end
  if not match.is_sound(pattern) then return false end
  if sound_count == SOUND_MOST then
    sound, sound_count = {}, 0
  end
  sound[pattern], sound_count = true, sound_count + 1
  return true
end

local function checked(ok, ...)
  if ok then return ... end
  raise((...))
end

-- string.find, told by who called the library what is wrong with the pattern.
local function find_checked(s, pattern, pos)
  return checked(pcall(find, s, pattern, pos))
end

local function finder(pattern)
  return is_sound(pattern) and find or find_checked
end

-- --- string.gsub ---------------------------------------------------------------------------------

-- The replacement's text, with what its %0 to %9 stand for.
local function expand(repl, whole, ...)
  local out, pos = {}, 1
  local at = find(repl, "%", 1, true)
  while at do
    out[#out + 1] = sub(repl, pos, at - 1)
    local digit = byte(repl, at + 1)
    digit = digit and digit - 48
    if digit == 0 then
      out[#out + 1] = whole
    elseif digit and digit >= 1 and digit <= 9 then
      if digit > 1 and digit > select("#", ...) then raise("invalid capture index") end
      out[#out + 1] = select(digit, ...) or whole
    else -- behind a last % there is a zero, in C
      out[#out + 1] = at < #repl and sub(repl, at + 1, at + 1) or "\0"
    end
    pos = at + 2
    at = find(repl, "%", pos, true)
  end
  out[#out + 1] = sub(repl, pos)
  return concat(out)
end

local function replacement(repl, whole, capture, ...)
  local value
  if capture == nil then capture = whole end
  if type(repl) == "string" then return expand(repl, whole, capture, ...) end
  if type(repl) == "table" then
    value = repl[capture]
  else
    value = repl(capture, ...)
  end
  if not value then return whole end
  if type(value) ~= "string" and type(value) ~= "number" then
    raise("invalid replacement value (a " .. type(value) .. ")")
  end
  return value
end

-- How many at most, as C takes it: an integer of 32 bits.
local function most_of(max)
  max = tonumber(max)
  if not (max > -2 ^ 51 and max < 2 ^ 51) then return 0 end
  return tobit(max < 0 and ceil(max) or floor(max))
end

local PIECES = 4096 -- of the result, before they become one

-- Adds the replacement of one match to `out`; returns where the match was.
local function replace(s, repl, out, pos, first, last, ...)
  if not first then return nil end
  if #out > PIECES then
    local text = concat(out)
    for i = #out, 2, -1 do
      out[i] = nil
    end
    out[1] = text
  end
  out[#out + 1] = sub(s, pos, first - 1)
  out[#out + 1] = replacement(repl, sub(s, first, last), ...)
  return first, last
end

local function gsub(s, given, repl, max)
  local pattern = as_pattern(given)
  if not pattern then return raw_gsub(s, given, repl, max) end
  s = raw_tostring(s)
  if type(repl) == "number" then repl = raw_tostring(repl) end
  if max then max = most_of(max) end
  local anchored = byte(pattern) == 94
  local out, pos, count, size = {}, 1, 0, #s
  local search = finder(pattern)
  while (not max or count < max) and pos <= size + 1 do
    local first, last = replace(s, repl, out, pos, search(s, pattern, pos))
    if not first then break end
    count = count + 1
    pos = last + 1
    if last < first and first <= size then -- an empty match: one character goes on as it is
      out[#out + 1] = sub(s, first, first)
      pos = first + 1
    elseif last < first then
      pos = size + 2
    end
    if anchored then break end
  end
  if pos <= size then out[#out + 1] = sub(s, pos) end
  return concat(out), count
end

function M.gsub(s, pattern, repl, max)
  local kind = type(repl)
  if
    not (kind == "function" or (kind == "table" and getmetatable(repl)))
    or (type(s) ~= "string" and type(s) ~= "number")
    or (type(pattern) ~= "string" and type(pattern) ~= "number")
    or (max ~= nil and type(max) ~= "number")
  then
    return raw_gsub(s, pattern, repl, max)
  end
  return gsub(s, pattern, repl, max)
end

--- What a string.gsub that takes long in C goes on as: from the beginning.
M.long_gsub = gsub

-- --- string.gmatch -------------------------------------------------------------------------------

--- As in C, but each of its matches is a string.find, which may take long.
function M.gmatch(s, given)
  if (type(s) ~= "string" and type(s) ~= "number")
    or (type(given) ~= "string" and type(given) ~= "number") then
    return raw_gmatch(s, given) -- says what is wrong
  end
  local pattern = as_pattern(given)
  if not pattern then return raw_gmatch(s, given) end
  s = raw_tostring(s)
  if byte(pattern) == 94 then pattern = "%" .. pattern end -- no anchor here
  local pos, size, search = 1, #s, finder(pattern)
  local function found(first, last, capture, ...)
    if not first then
      pos = size + 2
      return nil
    end
    pos = last < first and first + 1 or last + 1
    if capture == nil then return sub(s, first, last) end
    return capture, ...
  end
  return function()
    if pos > size + 1 then return nil end
    return found(search(s, pattern, pos))
  end
end

-- --- tostring ------------------------------------------------------------------------------------

function M.tostring(...)
  if select("#", ...) == 0 then error("bad argument #1 to 'tostring' (value expected)", 2) end
  local value = ...
  local meta = getmetatable(value)
  local fn = meta and type(value) ~= "string" and meta.__tostring
  if type(fn) == "function" then return fn(value) end
  return raw_tostring(value)
end

return M
