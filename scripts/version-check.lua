--- version-check - what the name of a technology gives away: its version, and whether that is older
-- than it should be. Asks nobody; with it, chains end in findings.
-- SPDX-License-Identifier: MIT

--- "nginx/1.18.0 (Ubuntu)" is nginx, 1.18.0.
local function parts_of(text)
  return text:match("^%s*([%w._+ -]-)%s*[/ ]v?(%d[%d.]*)")
end

local function numbers_of(version)
  local list = {}
  for number in version:gmatch("%d+") do
    list[#list + 1] = tonumber(number)
  end
  return list
end

--- "1.9" is older than "1.18"; what is not there counts as 0.
local function is_older(version, minimum)
  local a, b = numbers_of(version), numbers_of(minimum)
  for i = 1, math.max(#a, #b) do
    local x, y = a[i] or 0, b[i] or 0
    if x ~= y then return x < y end
  end
  return false
end

--- The version that `list` ("nginx/1.20, php/8.1") asks of a product, upper or lower case.
local function minimum_of(list, product)
  for entry in list:gmatch("[^,]+") do
    local name, version = parts_of(entry)
    if not name then error(("minimum: expected NAME/VERSION, got '%s'"):format(entry)) end
    if name:lower() == product:lower() then return version end
  end
  return nil
end

return capability({
  name = "version-check",
  description = "software that tells its version, or is too old",
  input = { "technology" },
  output = { "finding" },
  timeout = "10s",
  options = {
    minimum = {
      default = "",
      description = "oldest versions that are no finding: NAME/VERSION, separated by commas",
    },
  },
  match = function(asset)
    if parts_of(asset.value) then return true end
    return false, "names no version"
  end,
  invoke = function(job, asset)
    local product, version = parts_of(asset.value)
    local minimum = minimum_of(job.options.minimum, product)
    local data = { product = product, version = version, severity = "info" }
    job:send({
      class = "finding",
      value = ("%s tells its version, %s"):format(product, version),
      metadata = data,
    })
    if not minimum or not is_older(version, minimum) then return end
    job:send({
      class = "finding",
      value = ("%s %s is older than %s"):format(product, version, minimum),
      metadata = { product = product, version = version, minimum = minimum, severity = "medium" },
    })
  end,
})
