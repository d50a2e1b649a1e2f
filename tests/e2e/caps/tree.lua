--- A tree of numbers: node n leads to 2n and 2n+1 below a limit, found many times over by four
-- capabilities; what a job sends depends on its asset alone. `rough` also fails now and then.
-- SPDX-License-Identifier: MIT
local time = require("time")

local options = {
  limit = { default = 20000, description = "nodes stay below this" },
  pause = { default = 0, description = "seconds between two results" },
}

local function send(job, n)
  if n >= 1 and n < job.options.limit then
    job:send({ class = "node", value = ("%d"):format(n) })
  end
  if job.options.pause > 0 then time.sleep(job.options.pause) end
end

local function declare(name, invoke, retries)
  return capability({
    name = name,
    input = { "node" },
    output = { "node" },
    options = options,
    retries = retries,
    invoke = function(job, asset) invoke(job, tonumber(asset.value)) end,
  })
end

local left = declare("left", function(job, n) send(job, 2 * n) end)

local right = declare("right", function(job, n)
  send(job, 2 * n + 1)
  send(job, 2 * n + 1)
end)

local both = declare("both", function(job, n)
  job:send({
    { class = "node", value = ("%d"):format(n) },
    { class = "node", value = ("%d"):format(math.max(1, math.floor(n / 2))) },
  })
  send(job, 2 * n)
  send(job, 2 * n + 1)
end)

local rough = declare("rough", function(job, n)
  send(job, 2 * n)
  if n % 50 == 7 and job.attempt == 1 then
    error(errors.new({ message = "a bad moment", kind = "UNAVAILABLE", retryable = true }))
  end
  send(job, 2 * n + 1)
end, 2)

return { left, right, both, rough }
