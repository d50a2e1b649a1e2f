-- hello.lua - the smallest program: arguments, a pause, a result.
-- Run it: runtime examples/hello.lua [NAME]
-- SPDX-License-Identifier: MIT
local time = require("time")

local name = arg[1] or "world"
time.sleep("10ms") -- suspends this coroutine, never the thread
print("hello, " .. name .. ", from process " .. process.pid())
