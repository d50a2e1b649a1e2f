--- headers.lua - do the public headers say what a caller must know? headers.lua PREFIX
-- A comment stands above each call or the group it is in. It says, or the section or the banner
-- does, which threads may make it ([any], [any, waits], [one]...); when the call may fail, with
-- which codes; when it hands out a pointer, who owns it. An option struct begins with its size, and
-- has an INIT.
-- SPDX-License-Identifier: MIT
local fs = require("fs")

local faults = 0
local function fault(...)
  faults = faults + 1
  io.stderr:write(string.format(...), "\n")
end

local function check(file, comment, own, decl)
  local name = decl:match("(rt_[%w_]+)%s*%(")
  local words = comment:lower()
  if own == "" then return fault("%s: %s has no comment", file, name) end
  if not comment:find("%[[^%]]*any") and not comment:find("[one]", 1, true) then
    fault("%s: %s does not say which threads may call it", file, name)
  end
  local result = decl:match("^RT_API%s+(.-)%s*" .. name:gsub("%-", "%%-") .. "%s*%(")
  local fails = result == "rt_err"
  if fails and not comment:find("RT_E", 1, true) and not words:find("never fails", 1, true) then
    fault("%s: %s does not say how it fails", file, name)
  end
  local hands_out = decl:find("%*%*%w") or result:find("*", 1, true)
  if hands_out and not (comment:find("[own", 1, true) or comment:find("[borrowed", 1, true)
      or words:find("static", 1, true)) then
    fault("%s: %s does not say who owns what it gives", file, name)
  end
end

-- What stands above each call: its own comment, that of its section ("/* --- ..."), and the file's
-- first one where that speaks of "All calls".
local function each_call(text, fn)
  local function flat(comment)
    return (comment:gsub("\n *%* ", " "))
  end
  local banner = flat(text:match("^/%*.-%*/"))
  if not banner:find("All calls", 1, true) then banner = "" end
  local section, own, at = "", "", 1
  while at <= #text do
    local _, comment_end = text:find("^%s*/%*.-%*/", at)
    local line_end = text:find("\n", at, true) or #text
    if comment_end then
      local comment = flat(text:sub(at, comment_end))
      own = comment
      if comment:find("^%s*/%* %-%-%-") then
        section, own = comment, ""
      end
      at = comment_end + 1
    elseif text:find("^RT_API", at) then
      local stop = text:find(";", at, true)
      fn(banner .. section .. own, own, (text:sub(at, stop):gsub("%s+", " ")))
      at = (text:find("\n", stop, true) or #text) + 1
    else
      at = line_end + 1
    end
  end
end

local function check_structs(file, text)
  for body, name in text:gmatch("typedef struct [%w_]* ?(%b{}) ([%w_]+_opts);") do
    if not body:find("^{%s*size_t size;") then
      fault("%s: %s does not begin with its size", file, name)
    end
    local init = name:upper() .. "_INIT"
    if not text:find(init, 1, true) then fault("%s: there is no %s", file, init) end
  end
end

local folder = arg[1] .. "/include/rt/"
local calls = 0
for _, entry in ipairs(assert(fs.list(folder))) do
  local file = type(entry) == "table" and entry.name or entry
  local text = assert(fs.read(folder .. file))
  check_structs(file, text)
  each_call(text, function(comment, own, decl)
    calls = calls + 1
    check(file, comment, own, decl)
  end)
end
print(calls .. " calls, " .. faults .. " faults")
os.exit(faults == 0 and calls > 150 and 0 or 1)
