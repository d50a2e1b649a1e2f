--- Runs the attack of this number.
-- SPDX-License-Identifier: MIT
local attacks = require("attacks")

return function(number)
  local attack = attacks[number]
  process.registry.register("attack")
  attack.run()
  error("the attack '" .. attack.name .. "' came to an end", 0)
end
