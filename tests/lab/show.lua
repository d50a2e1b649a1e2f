--- Shows the asset lines of a run: a table by class, or the key of the deepest finding.
--   runtime tests/lab/show.lua FILE [deepest]
-- SPDX-License-Identifier: MIT
local fs = require("fs")
local json = require("json")

local assets = {}
for line in assert(fs.read(arg[1])):gmatch("[^\n]+") do
  assets[#assets + 1] = json.decode(line)
end

--- What there is to say about an asset besides its value.
local function remark(asset)
  local meta = asset.metadata
  if asset.class == "url" then return ("%d  %s"):format(meta.status, meta.title or "") end
  if asset.class == "certificate" then return table.concat(meta.names, " ") end
  if asset.class == "port" and meta.name then return "as " .. meta.name end
  return meta.record or meta.header or ""
end

local function deepest()
  local best = assets[1]
  for _, asset in ipairs(assets) do
    if asset.depth > best.depth then best = asset end
  end
  return best.key
end

local function by_class()
  local classes, rows = {}, {}
  for _, asset in ipairs(assets) do
    local list = rows[asset.class]
    if not list then
      list = {}
      rows[asset.class] = list
      classes[#classes + 1] = asset.class
    end
    list[#list + 1] = asset
  end
  return classes, rows
end

if arg[2] == "deepest" then
  print(deepest())
  return
end
local classes, rows = by_class()
for _, class in ipairs(classes) do
  print(("  %s (%d)"):format(class, #rows[class]))
  table.sort(rows[class], function(a, b) return a.key < b.key end)
  for _, asset in ipairs(rows[class]) do
    local value = class == "certificate" and asset.value:sub(1, 16) .. "..." or asset.value
    print(("    %-38s depth %-3d %s"):format(value, asset.depth, remark(asset)))
  end
end
