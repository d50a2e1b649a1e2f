--- A process that harms nobody: each round it waits for a moment, sends itself through a partner
-- and computes a little. It prints a line for each round, which the suite counts.
-- SPDX-License-Identifier: MIT
local time = require("time")

return function()
  local partner = process.spawn_linked(function()
    for message in process.inbox():values() do
      process.send(message:from(), "back", message:payload())
    end
  end)
  local back = process.listen("back")
  local round = 0
  while true do
    round = round + 1
    time.sleep(0.01)
    assert(process.send(partner, "there", round, { text = ("x"):rep(10) }))
    assert(back:receive("1h") == round)
    local list = {}
    for i = 1, 20 do list[i] = tostring(i * round) end
    assert(table.concat(list, ","):find("," .. 2 * round .. ",", 1, true))
    print("round")
  end
end
