--- channel - hand values between the coroutines of a process; see rt.channel.
-- SPDX-License-Identifier: MIT
local channel = require("rt.channel")

return { new = channel.new, select = channel.select }
