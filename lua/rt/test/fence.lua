--- rt.test.fence - the scope of a capability test.
-- What a case with `scope` sends out of it is not taken; what an active capability asks for out
-- of it is refused before a fake is looked for, in the words of a session: rt.core.fence is the
-- code that decides there. Names are looked up in fakes.dns, where that knows them.
-- SPDX-License-Identifier: MIT
local core = require("rt.core.fence")
local errors = require("rt.errors")

local M = {}

local NO_PROGRAMS = "exec: run '%s': out of scope: programs keep to none, and the active "
  .. "capability does not declare exec = true"

-- The addresses that the fakes have for a name; none: they do not know it.
local function addresses_of(world, name)
  local fakes = world.fakes.dns
  local list = {}
  if type(fakes) ~= "table" then return list end
  local whole = fakes[name]
  for _, kind in ipairs({ "A", "AAAA" }) do
    local spec = fakes[name .. " " .. kind]
    if spec == nil and type(whole) == "table" then spec = whole[kind] end
    if type(spec) == "string" then spec = { spec } end
    for _, each in ipairs(type(spec) == "table" and spec or {}) do
      list[#list + 1] = type(each) == "table" and each.address or each
    end
  end
  return list
end

-- The name must pass, then one of its addresses.
local function any_address(world, host, ask)
  local ok, err = ask(nil)
  if not ok then return nil, err end
  local list = addresses_of(world, host)
  for _, address in ipairs(list) do
    ok, err = ask(address)
    if ok then return true end
  end
  if #list > 0 then return nil, err end
  return true
end

--- May it connect, send, ask there? True, or nil and the error the module answers.
---@param world rt.TestWorld
---@param what string   as in the message: "connect to"
---@param host string
---@param port integer?
function M.allows(world, what, host, port)
  local fence = world.active and world.fence
  if not fence then return true end
  return any_address(world, host, function(address)
    return core.allows(fence, what, host, address, port or 0)
  end)
end

--- May it look up this name?
function M.allows_name(world, what, name)
  local fence = world.active and world.fence
  if not fence then return true end
  local d, c, b, a = name:match("^(%d+)%.(%d+)%.(%d+)%.(%d+)%.in%-addr%.arpa$")
  if d then name = table.concat({ a, b, c, d }, ".") end
  return core.allows(fence, what, name, nil, 0)
end

--- May it send this request?
function M.allows_url(world, method, url)
  local fence = world.active and world.fence
  if not fence then return true end
  local ok, host = core.allows_url(fence, method, url, nil)
  if not ok then return nil, host end
  return any_address(world, host, function(address)
    return core.allows_url(fence, method, url, address)
  end)
end

--- May it run a program?
function M.allows_program(world, file)
  local fenced = world.active and world.fence and not world.active.exec
  if not fenced then return true end
  return nil, errors.make(NO_PROGRAMS:format(file), "PERMISSION_DENIED")
end

--- Is this asset in scope? False and why not.
function M.has(world, class, value)
  if not world.fence then return true end
  return core.has(world.fence, class, value)
end

--- Put the rules of a case around its world; nil and what is wrong with them.
function M.install(world, rules)
  if not rules or #rules == 0 then return true end
  local fence, err = core.new(rules)
  if not fence then return nil, err:message() end
  world.fence = fence
  return true
end

return M
