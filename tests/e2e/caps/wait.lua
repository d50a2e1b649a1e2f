--- Jobs that wait until they are canceled or their time is over.
-- SPDX-License-Identifier: MIT
local time = require("time")

return capability({
  name = "wait",
  input = { "wait" },
  output = { "done" },
  options = {
    seconds = { default = 3600 },
    polite = { default = true, description = "ends when asked to" },
  },
  invoke = function(job, asset)
    local ends = time.monotonic() + job.options.seconds
    while time.monotonic() < ends do
      if job.options.polite and job:canceled() then return end
      time.sleep(0.02)
    end
    job:send({ class = "done", value = asset.value })
  end,
})
