--- A process that makes more of its kind, each linked to the one before.
-- SPDX-License-Identifier: MIT
while true do
  process.spawn_linked("./tests/fault/fork.lua")
end
