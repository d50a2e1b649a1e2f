--- rt.register - capabilities given by a script, as tables or paths, into the registry.
-- What `registry.register` adds stays; what a session brings along is borrowed for that session,
-- and goes when the last session that brought it closes.
-- SPDX-License-Identifier: MIT
local closure = require("rt.closure")
local core = require("rt.core.registry")
local declaration = require("rt.declaration")
local errors = require("rt.errors")
local task = require("rt.task")

local M = {}

local AGAIN, BORROW, BACKFILL, REPLACE = 1, 2, 4, 8

local function invalid(text)
  return errors.make(text, "INVALID")
end

local function put_table(raw, flags)
  local decl, fault = declaration.check(raw)
  if not decl then
    local name = type(raw) == "table" and raw.name
    return nil, invalid(declaration.title(name) .. ": " .. fault)
  end
  local packed, refused = closure.pack(decl)
  if not packed then return nil, invalid("cannot be copied: " .. refused) end
  local ok, err = core.put(declaration.plain(decl), packed, flags)
  if not ok then return nil, err end
  return { decl.name }
end

local function put_path(path, flags)
  local answer, err = task.await(core.load(path, flags))
  if not answer then return nil, err end
  local first = answer.faults[1]
  if not first then return answer.names end
  local texts = {}
  for i, fault in ipairs(answer.faults) do
    texts[i] = fault.text
  end
  return nil, errors.make(table.concat(texts, "\n"), first.kind), answer.names
end

local function is_list(value)
  return not declaration.is(value) and value.name == nil and value[1] ~= nil
end

local function give_back(names)
  for _, name in ipairs(names) do
    core.give_back(name)
  end
end
M.give_back = give_back

local function put(value, flags)
  if type(value) == "string" then return put_path(value, flags) end
  if type(value) ~= "table" then
    return nil, invalid("capability: expected a table or a path, got " .. type(value))
  end
  if not is_list(value) then return put_table(value, flags) end
  local names = {}
  for _, item in ipairs(value) do
    local some, err, partly = put(item, flags)
    for _, name in ipairs(some or partly or {}) do
      names[#names + 1] = name
    end
    if not some then return nil, err, names end
  end
  return names
end

--- For registry.register.
function M.add(value, backfill)
  local names, err = put(value, backfill and BACKFILL or 0)
  if not names then return nil, err end
  return names
end

--- For registry.reload.
function M.reload(path)
  local names, err = put_path(path, REPLACE)
  if not names then return nil, err end
  return names
end

--- For session.open: the names of all of them, borrowed; or nil, err and none.
function M.borrow(list)
  local names, err, partly = put(list, AGAIN + BORROW)
  if names then return names end
  give_back(partly or {})
  return nil, err
end

return M
