--- rt.pretty - a value as text for people: bounded, with cycles named, records as a table.
--
--   pretty.text(value, width)   tables in as few lines of `width` columns as they need
--
-- A list of flat records with the same fields (process.list(), session.list()) becomes aligned
-- columns. A value's own __tostring is called, so this runs in a fiber.
-- SPDX-License-Identifier: MIT
local sandbox = require("rt.sandbox")

local getmetatable = debug.getmetatable
local next, tostring = sandbox.base.next, sandbox.base.tostring
local concat, sort = table.concat, table.sort
local rep, format = string.rep, string.format

local M = {}

local MAX_DEPTH = 6
local MAX_ITEMS = 100
local MAX_STRING = 400
local MAX_ROWS = 1000
local MAX_CELL = 60

local function quoted(text)
  local cut = #text > MAX_STRING
  if cut then text = text:sub(1, MAX_STRING) end
  text = format("%q", text):gsub("\\\n", "\\n"):gsub("\r", "\\r"):gsub("[%z\1-\31\127]", function(c)
    return format("\\%d", c:byte())
  end)
  return cut and text .. "..." or text
end

local keywords = {}
for word in
  ("and break do else elseif end false for function goto if in local nil not or repeat return "
    .. "then true until while"):gmatch("%a+")
do
  keywords[word] = true
end
M.keywords = keywords

local function is_name(key)
  return type(key) == "string" and key:find("^[%a_][%w_]*$") ~= nil and not keywords[key]
end

-- The text of a table that has one of its own: by its __tostring, or as an object of the library.
local function own_text(value)
  local meta = getmetatable(value)
  if type(meta) ~= "table" then return nil end
  if type(meta.__tostring) == "function" then return tostring(value) end
  if meta.__metatable == false and type(meta.__name) == "string" then
    return "<" .. meta.__name .. ">"
  end
  return nil
end

local function scalar(value)
  if type(value) == "string" then return quoted(value) end
  return tostring(value)
end

local rank = { number = 1, string = 2, boolean = 3 }

local function before(a, b)
  local x, y = rank[type(a)] or 4, rank[type(b)] or 4
  if x ~= y then return x < y end
  if x <= 2 then return a < b end
  return tostring(a) < tostring(b)
end

-- The keys outside of 1..n, in order; at most `room` of them, and how many there are.
local function other_keys(value, n, room)
  local keys, count = {}, 0
  for key in next, value do
    local listed = type(key) == "number" and key >= 1 and key <= n and key % 1 == 0
    if not listed then
      count = count + 1
      if count <= 10 * MAX_ITEMS then keys[count] = key end
    end
  end
  sort(keys, before)
  for i = #keys, room + 1, -1 do
    keys[i] = nil
  end
  return keys, count
end

local function length(value)
  local n = 0
  while n < MAX_ITEMS and rawget(value, n + 1) ~= nil do
    n = n + 1
  end
  return n, math.max(n, #value)
end

local render

-- The parts of a table, each as text.
local function parts_of(value, state, depth, path)
  local shown, n = length(value)
  local parts = {}
  for i = 1, shown do
    parts[i] = render(rawget(value, i), state, depth + 1, path .. "[" .. i .. "]")
  end
  local keys, count = other_keys(value, n, MAX_ITEMS - shown)
  for _, key in ipairs(keys) do
    local name = is_name(key) and key or "[" .. scalar(key) .. "]"
    local inner = is_name(key) and path .. "." .. key or path .. name
    parts[#parts + 1] = name .. " = " .. render(state.get(value, key), state, depth + 1, inner)
  end
  local left = n + count - #parts
  if left > 0 then parts[#parts + 1] = "... " .. left .. " more" end
  return parts
end

local function layout(parts, width, depth)
  local size, plain = 0, true
  for _, part in ipairs(parts) do
    size = size + #part + 2
    plain = plain and not part:find("\n", 1, true)
  end
  if plain and size + 2 + depth * 2 <= width then return "{ " .. concat(parts, ", ") .. " }" end
  local pad = rep("  ", depth + 1)
  return "{\n" .. pad .. concat(parts, ",\n" .. pad) .. "\n" .. rep("  ", depth) .. "}"
end

function render(value, state, depth, path)
  if type(value) ~= "table" then return scalar(value) end
  local own = own_text(value)
  if own then return own end
  local known = state.above[value]
  if known then return "<cycle: " .. known .. ">" end
  if next(value) == nil then return "{}" end
  if depth >= MAX_DEPTH then return "{...}" end
  state.above[value] = path
  local parts = parts_of(value, state, depth, path)
  state.above[value] = nil
  return layout(parts, state.width, depth)
end

-- --- records -------------------------------------------------------------------------------------

local first_columns = {
  "pid", "id", "name", "key", "class", "value", "state", "mailbox", "memory", "age",
}
local places = {}
for i, name in ipairs(first_columns) do
  places[name] = i
end

local function column_before(a, b)
  local x, y = places[a] or 99, places[b] or 99
  if x ~= y then return x < y end
  return a < b
end

local flat = { string = true, number = true, boolean = true }

-- Adds the columns of a record; false when it is none.
local function note_columns(row, columns, seen)
  if type(row) ~= "table" or own_text(row) or next(row) == nil then return false end
  for key, value in next, row do
    if not is_name(key) or not flat[type(value)] then return false end
    if not seen[key] then
      seen[key] = true
      columns[#columns + 1] = key
    end
  end
  return #columns <= 12
end

-- The columns of a list of records, or nil.
local function columns_of(list)
  local columns, seen, count = {}, {}, #list
  if count == 0 then return nil end
  local entries = 0
  for _ in next, list do
    entries = entries + 1
  end
  if entries ~= count then return nil end
  for i = 1, math.min(count, MAX_ROWS) do
    if not note_columns(rawget(list, i), columns, seen) then return nil end
  end
  if #columns < 2 then return nil end
  sort(columns, column_before)
  return columns
end

local function cell(value)
  if value == nil then return "" end
  if type(value) == "number" and value % 1 ~= 0 and value == value then
    return format("%.3f", value)
  end
  local text = type(value) == "number" and format("%.14g", value) or tostring(value)
  text = text:gsub("%c", "?")
  if #text > MAX_CELL then text = text:sub(1, MAX_CELL - 3) .. "..." end
  return text
end

-- Columns in which every value is a number are aligned to the right.
local function measure(list, columns, count)
  local widths, right = {}, {}
  for c, name in ipairs(columns) do
    widths[c], right[c] = #name, true
    for i = 1, count do
      local value = rawget(list[i], name)
      widths[c] = math.max(widths[c], #cell(value))
      if value ~= nil and type(value) ~= "number" then right[c] = false end
    end
  end
  return widths, right
end

local function line_of(cells, widths, right)
  local out = {}
  for c, text in ipairs(cells) do
    local pad = rep(" ", widths[c] - #text)
    out[c] = right[c] and pad .. text or text .. pad
  end
  return (concat(out, "  "):gsub("%s+$", ""))
end

local function records(list, columns)
  local count = math.min(#list, MAX_ROWS)
  local widths, right = measure(list, columns, count)
  local lines = { line_of(columns, widths, right) }
  for i = 1, count do
    local cells = {}
    for c, name in ipairs(columns) do
      cells[c] = cell(rawget(list[i], name))
    end
    lines[i + 1] = line_of(cells, widths, right)
  end
  if count < #list then lines[#lines + 1] = "... " .. #list - count .. " more" end
  return concat(lines, "\n")
end

--- The value as a prompt shows it: a string as it is, records as a table.
function M.text(value, width)
  if type(value) ~= "table" then return tostring(value) end
  local own = own_text(value)
  if own then return own end
  local columns = columns_of(value)
  if columns then return records(value, columns) end
  local state = { above = {}, width = width > 20 and width or 80, get = sandbox.base.rawget }
  return render(value, state, 0, "top")
end

return M
