--- rt.match - Lua's patterns in Lua, for matches that take long.
-- A match in C cannot be preempted. One that has taken long gives up, and the functions here are
-- called in its place, with the position it came to: what begins there is matched in Lua, where it
-- may be preempted anywhere; what begins behind it is left to C again.
-- SPDX-License-Identifier: MIT
local raise = require("rt.blame").raise

local byte, char, find, match, sub = string.byte, string.char, string.find, string.match, string.sub
local ipairs, unpack = ipairs, unpack

local M = {}

local DEPTH, CAPTURES = 200, 32 -- as in C
local UNFINISHED, POSITION = -1, -2
local CARET, PERCENT, OPEN, CLOSE, BRACKET, DOLLAR = 94, 37, 40, 41, 91, 36
local REPEATS = { [42] = "*", [43] = "+", [45] = "-", [63] = "?" }

-- --- parts of a pattern --------------------------------------------------------------------------

local all = {}
for c = 0, 255 do
  all[c] = true
end

-- The bytes that the class stands for, by asking C.
local function set_of(class)
  if class == "." then return all end
  if #class == 1 then return { [byte(class)] = true } end
  local set, pattern = {}, "^" .. class
  for c = 0, 255 do
    if find(char(c), pattern) then set[c] = true end
  end
  return set
end

-- What is wrong with a pattern is an error when a match comes to it, as in C, and not before.
local function wrong(pattern, words)
  return { kind = "wrong", words = words }, #pattern + 1
end

-- Where the class at `i` ends; nil and what is wrong with it.
local function class_end(pattern, i)
  local c = byte(pattern, i)
  if c == PERCENT then
    if i == #pattern then return nil, "malformed pattern (ends with '%')" end
    return i + 2
  end
  if c ~= BRACKET then return i + 1 end
  i = i + 1
  if byte(pattern, i) == CARET then i = i + 1 end
  repeat
    c = byte(pattern, i)
    if not c then return nil, "malformed pattern (missing ']')" end
    i = i + 1
    if c == PERCENT then i = i + 1 end
  until byte(pattern, i) == 93
  return i + 1
end

local function frontier_at(pattern, i)
  if byte(pattern, i) ~= BRACKET then return wrong(pattern, "missing '[' after '%f' in pattern") end
  local stop, words = class_end(pattern, i)
  if not stop then return wrong(pattern, words) end
  return { kind = "frontier", class = sub(pattern, i, stop - 1) }, stop
end

-- The part of the pattern at `i`, and where the next one begins.
local function part_at(pattern, i)
  local c, d = byte(pattern, i, i + 1)
  if c == OPEN and d == CLOSE then return { kind = "open", length = POSITION }, i + 2 end
  if c == OPEN then return { kind = "open", length = UNFINISHED }, i + 1 end
  if c == CLOSE then return { kind = "close" }, i + 1 end
  if c == DOLLAR and i == #pattern then return { kind = "end" }, i + 1 end
  if c == PERCENT and d == 98 then -- b
    local from, to = byte(pattern, i + 2, i + 3)
    if not to then return wrong(pattern, "unbalanced pattern") end
    return { kind = "balance", from = from, to = to }, i + 4
  end
  if c == PERCENT and d == 102 then return frontier_at(pattern, i + 2) end -- f
  if c == PERCENT and d and d >= 48 and d <= 57 then return { kind = "back", n = d - 48 }, i + 2 end
  local stop, words = class_end(pattern, i)
  if not stop then return wrong(pattern, words) end
  local class, times = sub(pattern, i, stop - 1), REPEATS[byte(pattern, stop)]
  return { kind = times or "one", class = class }, times and stop + 1 or stop
end

local function parts_of(pattern)
  local zero = find(pattern, "%z") -- it ends there, in C
  if zero then pattern = sub(pattern, 1, zero - 1) end
  local parts, i = {}, byte(pattern) == CARET and 2 or 1
  while i <= #pattern do
    parts[#parts + 1], i = part_at(pattern, i)
  end
  parts[#parts + 1] = { kind = "done" }
  return parts
end

local function close_one(open)
  local level = #open
  while level > 0 and not open[level] do
    level = level - 1
  end
  open[level] = false
  return level > 0
end

--- Can no match of the pattern raise an error?
function M.is_sound(pattern)
  local parts = parts_of(pattern)
  local open = {} -- capture -> is it open?
  if #parts >= DEPTH then return false end
  for _, part in ipairs(parts) do
    local kind = part.kind
    if kind == "open" then
      open[#open + 1] = part.length == UNFINISHED
    elseif kind == "close" and not close_one(open) then
      return false
    elseif kind == "wrong" or (kind == "back" and open[part.n] ~= false) then
      return false
    end
  end
  return #open <= CAPTURES and not close_one(open)
end

-- --- matching ------------------------------------------------------------------------------------

-- A state: the subject, the parts, the captures (where each begins, how long it is). Parts of which
-- there is one way to match, or a last one, are `ways`: where that ends; or nil, and where all ends
-- when the rest has been tried. The others, `steps`, try the rest themselves. Only what is tried
-- makes the match deeper, as in C.

local ways, steps = {}, {}

-- Where the match of the parts from `k` on ends that begins at `s`; nil: there is none.
local function go(state, s, k)
  if state.depth == DEPTH then raise("pattern too complex") end
  state.depth = state.depth + 1
  local parts = state.parts
  local part = parts[k]
  local way = ways[part.kind]
  while way do
    local stop
    s, stop = way(state, s, part, k)
    if not s then
      state.depth = state.depth - 1
      return stop
    end
    k = k + 1
    part = parts[k]
    way = ways[part.kind]
  end
  local stop = steps[part.kind](state, s, k, part)
  state.depth = state.depth - 1
  return stop
end

function ways.one(state, s, part)
  local c = byte(state.text, s)
  return c and part.set[c] and s + 1 or nil
end

ways["?"] = function(state, s, part, k)
  local c = byte(state.text, s)
  local stop = c and part.set[c] and go(state, s + 1, k + 1)
  if stop then return nil, stop end
  return s
end

function ways.wrong(_, _, part)
  raise(part.words)
end

function ways.balance(state, s, part)
  local text, from, to = state.text, part.from, part.to
  if byte(text, s) ~= from then return nil end
  local open = 1
  for i = s + 1, #text do
    local c = byte(text, i)
    if c == to then
      open = open - 1
      if open == 0 then return i + 1 end
    elseif c == from then
      open = open + 1
    end
  end
  return nil
end

function ways.frontier(state, s, part)
  local before = s > 1 and byte(state.text, s - 1) or 0
  return not part.set[before] and part.set[byte(state.text, s) or 0] and s or nil
end

function ways.back(state, s, part)
  local n = part.n
  local length = n <= state.level and state.length[n]
  if not length or length == UNFINISHED then raise("invalid capture index") end
  if length == POSITION then return nil end
  local text, first = state.text, state.first[n]
  if #text + 1 - s < length then return nil end
  for i = 0, length - 1 do
    if byte(text, first + i) ~= byte(text, s + i) then return nil end
  end
  return s + length
end

function steps.done(_, s)
  return s
end

steps["end"] = function(state, s)
  return s == #state.text + 1 and s or nil
end

local function longest(state, s, k, part, least)
  local text, set, n = state.text, part.set, 0
  local c = byte(text, s)
  while c and set[c] do
    n = n + 1
    c = byte(text, s + n)
  end
  for i = n, least, -1 do
    local stop = go(state, s + i, k + 1)
    if stop then return stop end
  end
  return nil
end

steps["*"] = function(state, s, k, part)
  return longest(state, s, k, part, 0)
end

steps["+"] = function(state, s, k, part)
  return longest(state, s, k, part, 1)
end

steps["-"] = function(state, s, k, part)
  local text, set = state.text, part.set
  while true do
    local stop = go(state, s, k + 1)
    if stop then return stop end
    local c = byte(text, s)
    if not (c and set[c]) then return nil end
    s = s + 1
  end
end

function steps.open(state, s, k, part)
  local level = state.level + 1
  if level > CAPTURES then raise("too many captures") end
  state.level, state.first[level], state.length[level] = level, s, part.length
  local stop = go(state, s, k + 1)
  if not stop then state.level = level - 1 end
  return stop
end

function steps.close(state, s, k)
  local level, length = state.level, state.length
  while level > 0 and length[level] ~= UNFINISHED do
    level = level - 1
  end
  if level == 0 then raise("invalid pattern capture") end
  length[level] = s - state.first[level]
  local stop = go(state, s, k + 1)
  if not stop then length[level] = UNFINISHED end
  return stop
end

local function captures(state)
  local list = {}
  for i = 1, state.level do
    local first, length = state.first[i], state.length[i]
    if length == UNFINISHED then raise("unfinished capture") end
    list[i] = length == POSITION and first or sub(state.text, first, first + length - 1)
  end
  return unpack(list, 1, state.level)
end

-- What matches from `at` on: its state and where it ends.
local function try(text, pattern, at)
  local state = { text = text, parts = parts_of(pattern), depth = 0 }
  for _, part in ipairs(state.parts) do
    part.set = part.class and set_of(part.class)
  end
  state.level, state.first, state.length = 0, {}, {}
  return state, go(state, at, 1)
end

-- Can nothing begin behind `at`?
local function is_last(text, pattern, at)
  return at > #text or byte(pattern) == CARET
end

--- Goes on for string.find, from the position `at`.
function M.find(text, pattern, at)
  local state, stop = try(text, pattern, at)
  if stop then return at, stop - 1, captures(state) end
  if is_last(text, pattern, at) then return nil end
  return find(text, pattern, at + 1)
end

--- Goes on for string.match.
function M.match(text, pattern, at)
  local state, stop = try(text, pattern, at)
  if stop and state.level == 0 then return sub(text, at, stop - 1) end
  if stop then return captures(state) end
  if is_last(text, pattern, at) then return nil end
  return match(text, pattern, at + 1)
end

return M
