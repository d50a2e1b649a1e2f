-- What processes.lua spawns from a file: it ends at once.
-- SPDX-License-Identifier: MIT
local parent = ...
if parent then process.send(parent, "result", 0) end
