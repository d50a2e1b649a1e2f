---@meta coroutine
-- What this runtime adds to Lua's own coroutine library. SPDX-License-Identifier: MIT

--- Another coroutine inside the same process, run by the scheduler. An uncaught error in it ends
--- the process.
---@param fn function
---@param ... any  given to it
function coroutine.spawn(fn, ...) end
