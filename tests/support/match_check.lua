--- rt.match, long_gsub and gmatch against the C functions they stand in for: random patterns.
-- Call with (seed, rounds); raises at the first difference.
-- SPDX-License-Identifier: MIT
local seed, rounds = ...

-- Called as it is in the runtime, so that its errors name who called it.
local function library(name)
  local file = assert(io.open("lua/rt/" .. name .. ".lua"))
  local text = file:read("*a")
  file:close()
  return assert(load(text, "=rt/" .. name .. ".lua"))
end

package.preload["rt.blame"] = library("blame")
package.preload["rt.match"] = library("match")
local match = require("rt.match")
local callbacks = library("callbacks")()
local random = math.random
math.randomseed(seed)

local items = {
  "a", "b", ".", "%a", "%d", "[ab]", "[^a]", "[a-c1]", "[]]", "[^]a]", "[%a_]", "%.", "%%", "-",
  "%w", "%S", "^", "x", "[%]]", "]",
}
local others = { "()", "(", ")", "%b()", "%bab", "%f[%w]", "%f[^a]", "%1", "%2", "%9", "$", "%0" }
local broken = { "[a", "%", "[^", "%b", "%ba", "%f", "[]", "[a-", "\0" }
local repeats = { "", "", "", "*", "+", "-", "?" }
local limits = { 0, 1, 2, 3, -1, 0.5, 2.5, "2", "1.9", 1e10, 1 / 0, 0 / 0 }
local letters = { "a", "b", "c", "(", ")", ".", "1", " ", "_", "]", "%", "\0", "\200" }

local function pick(list) return list[random(#list)] end

local function text_of(list, n)
  local parts = {}
  for i = 1, n do parts[i] = pick(list) end
  return table.concat(parts)
end

local function pattern_of()
  local parts = {}
  for i = 1, random(0, 6) do
    local kind = random(20)
    if kind <= 13 then
      parts[i] = pick(items) .. pick(repeats)
    elseif kind <= 16 then
      parts[i] = "(" .. pick(items) .. pick(repeats) .. ")"
    elseif kind <= 19 then
      parts[i] = pick(others)
    else
      parts[i] = pick(broken)
    end
  end
  local pattern = (random(5) == 1 and "^" or "") .. table.concat(parts)
  if random(40) > 1 then return pattern end
  local last = pick(items) .. pick({ "", "*", "-", "?" })
  return pattern .. last:rep(random(250)) -- matches go 200 deep
end

local function result(ok, ...)
  local list = { n = select("#", ...), ... }
  for i = 1, list.n do list[i] = tostring(list[i]) end
  -- where the error is said to be differs
  if not ok then return "error: " .. list[1]:gsub("^[^:]*:%d+: ", "") end
  return table.concat(list, "\1", 1, list.n)
end

local function all_of(gmatch, text, pattern)
  local list = {}
  for a, b in gmatch(text, pattern) do
    list[#list + 1] = tostring(a) .. "\2" .. tostring(b)
    if #list > 100 then break end
  end
  return table.concat(list, "\1")
end

local function same(what, text, pattern, wanted, got)
  if wanted == got then return end
  -- C looks only at the captures that the replacement names
  if what == "gsub" and got == "error: unfinished capture" then return end
  error(("seed %d: %s(%q, %q): %q, and in Lua %q"):format(
    seed, what, text, pattern, wanted, got), 0)
end

local found = 0
for _ = 1, rounds do
  local text, pattern, at = text_of(letters, random(0, 12)), pattern_of(), 1
  if #text > 0 then at = random(#text + 1) end
  local plain = result(pcall(string.find, text, pattern, at))
  if string.find("x" .. pattern, "[%^%$%*%+%?%.%(%[%%%-]", 2) then
    same("find", text, pattern, plain, result(pcall(match.find, text, pattern, at)))
    same("match", text, pattern, result(pcall(string.match, text, pattern, at)),
      result(pcall(match.match, text, pattern, at)))
  end
  if plain ~= "nil" and not plain:find("^error") then found = found + 1 end
  local repl = text_of({ "x", "%0", "%1", "%%", "%" }, 3)
  if random(3) == 1 then repl = { a = "A", b = false } end
  local max = random(4) == 1 and pick(limits) or nil
  same("gsub", text, pattern, result(pcall(string.gsub, text, pattern, repl, max)),
    result(pcall(callbacks.long_gsub, text, pattern, repl, max)))
  same("gmatch", text, pattern, result(pcall(all_of, string.gmatch, text, pattern)),
    result(pcall(all_of, callbacks.gmatch, text, pattern)))
end
return found
