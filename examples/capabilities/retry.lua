--- A service that is busy at first: retries with backoff, a rate and a time limit.
--   runtime run -c examples/capabilities/retry.lua -s ticket:1 -s ticket:2
-- SPDX-License-Identifier: MIT
local time = require("time")

return capability({
  name = "redeem",
  description = "redeems a ticket at the second attempt",
  input = { "ticket" },
  output = { "receipt" },
  timeout = "5s",
  retries = 3,
  rate = "20/s",
  invoke = function(job, asset)
    time.sleep("50ms")
    if job.attempt == 1 then
      error(errors.new({ message = "busy", kind = "UNAVAILABLE", retryable = true }))
    end
    job:send({ class = "receipt", value = "for ticket " .. asset.value })
  end,
})
