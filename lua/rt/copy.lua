--- rt.copy - a table with all that is in it, made anew. Plain data only: metatables are not copied,
-- and what holds itself never ends.
-- SPDX-License-Identifier: MIT
local function copy(value)
  if type(value) ~= "table" then return value end
  local made = {}
  for key, item in pairs(value) do
    made[key] = copy(item)
  end
  return made
end

return copy
