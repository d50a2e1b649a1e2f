--- rt.reader - the read formats of io ("*l", "*L", "*n", "*a", a number) over any source of bytes.
-- A reader is a table with `buffer` (a string), `at` (the next byte in it) and `fill(self)`, which
-- answers the next bytes, "" or nil at the end, or nil and an error.
-- SPDX-License-Identifier: MIT
local check = require("rt.check")

local M = {}

-- No number is written longer than this.
local NUMBER = 200

--- Set up `self` as a reader.
function M.init(self, fill)
  self.buffer, self.at, self.fill = "", 1, fill
  return self
end

--- Bytes read from the source that nobody took.
function M.pending(self)
  return #self.buffer - self.at + 1
end

function M.discard(self)
  self.buffer, self.at = "", 1
end

-- Next bytes into the empty buffer; false at the end, nil and an error.
local function refill(self)
  local data, err = self:fill()
  if err then return nil, err end
  self.buffer, self.at = data or "", 1
  return self.buffer ~= ""
end

local function take_rest(self)
  local rest = self.buffer:sub(self.at)
  self.buffer, self.at = "", 1
  return rest
end

local function read_line(self, keep)
  local parts
  while true do
    local stop = self.buffer:find("\n", self.at, true)
    if stop then
      local text = self.buffer:sub(self.at, keep and stop or stop - 1)
      self.at = stop + 1
      if not parts then return text end
      parts[#parts + 1] = text
      return table.concat(parts)
    end
    parts = parts or {}
    parts[#parts + 1] = take_rest(self)
    local more, err = refill(self)
    if err then return nil, err end
    if not more then
      local text = table.concat(parts)
      return text ~= "" and text or nil
    end
  end
end

local function read_all(self)
  local parts = { take_rest(self) }
  while true do
    local more, err = refill(self)
    if err then return nil, err end
    if not more then return table.concat(parts) end
    parts[#parts + 1] = take_rest(self)
  end
end

local function read_count(self, count)
  local parts = {}
  while true do
    local text = self.buffer:sub(self.at, self.at + count - 1)
    self.at = self.at + #text
    count = count - #text
    parts[#parts + 1] = text
    if count == 0 and (#parts > 1 or self.at <= #self.buffer or text ~= "") then
      return table.concat(parts)
    end
    local more, err = refill(self)
    if err then return nil, err end
    if not more then
      text = table.concat(parts)
      return text ~= "" and text or nil
    end
    if count == 0 then return "" end
  end
end

-- One more portion behind what is in the buffer; false at the end, nil and an error.
local function extend(self)
  local rest = take_rest(self)
  local more, err = refill(self)
  self.buffer = rest .. self.buffer
  return more, err
end

local NUMBERS = {
  "^[+-]?0[xX]%x+",
  "^[+-]?%d+%.?%d*[eE][+-]?%d+",
  "^[+-]?%.%d+[eE][+-]?%d+",
  "^[+-]?%d+%.?%d*",
  "^[+-]?%.%d+",
}

-- Moves to what is no white space.
local function skip_space(self)
  while true do
    local at = self.buffer:find("%S", self.at)
    if at then
      self.at = at
      return true
    end
    M.discard(self)
    local more, err = refill(self)
    if not more then return nil, err end
  end
end

-- Asks the source for more only while the number could go on there.
local function read_number(self)
  local found, err = skip_space(self)
  if not found then return nil, err end
  local run
  repeat
    run = self.buffer:match("^[%w.+-]*", self.at)
    local more = self.at + #run > #self.buffer and #run < NUMBER
    if more then more, err = extend(self) end
    if err then return nil, err end
  until not more
  for _, pattern in ipairs(NUMBERS) do
    local text = run:match(pattern)
    if text then
      self.at = self.at + #text
      return tonumber((text:gsub("^%+", "")))
    end
  end
  return nil
end

local READ = { n = read_number, l = read_line, a = read_all }
function READ.L(self)
  return read_line(self, true)
end

local function read_one(self, format, n, fname)
  if type(format) == "number" then return read_count(self, format) end
  if type(format) ~= "string" then check.fail(n, fname, "invalid format", 3) end
  local read = READ[format:match("^%*?(.)") or ""]
  if not read then check.fail(n, fname, "invalid format", 3) end
  return read(self)
end

local function read_from(self, fname, i, count, format, ...)
  if i > count then return end
  local value, err = read_one(self, format, i, fname)
  if value == nil then return nil, err end
  return value, read_from(self, fname, i + 1, count, ...)
end

--- What `formats` ask for (default: a line); the first that cannot be had is nil, and the last.
function M.read(self, fname, ...)
  local count = select("#", ...)
  if count == 0 then return read_line(self) end
  return read_from(self, fname, 1, count, ...)
end

return M
