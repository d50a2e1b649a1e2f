--- The smallest chain: a text gives words, a word gives its length.
--   runtime run -c examples/capabilities/words.lua -s "text:the quick brown fox"
-- SPDX-License-Identifier: MIT
local split = capability({
  name = "split",
  input = { "text" },
  output = { "word" },
  invoke = function(job, asset)
    for word in asset.value:gmatch("%w+") do
      job:send({ class = "word", value = word })
    end
  end,
})

local measure = capability({
  name = "measure",
  input = { "word" },
  output = { "length" },
  options = { least = { default = 4, description = "shorter words are left out" } },
  match = function(asset, ctx)
    local least = ctx and ctx.options and ctx.options.least or 4
    if #asset.value >= least then return true end
    return false, "too short"
  end,
  invoke = function(job, asset)
    job:send({ class = "length", value = tostring(#asset.value) })
  end,
})

return { split, measure }
