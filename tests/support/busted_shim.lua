--- What busted and luassert ask of the debug library, of C modules and of penlight, in plain Lua.
-- The sandbox has no debug.getmetatable and loads no C; a spec file is a process of its own, so
-- busted's saving and restoring of globals between blocks is not needed either.
-- SPDX-License-Identifier: MIT

local time_ok, time = pcall(require, "time")

-- Own globals of this process: the library itself stays frozen.
debug = setmetatable({
  getmetatable = function(value)
    local meta = getmetatable(value)
    return type(meta) == "table" and meta or nil
  end,
  setmetatable = setmetatable,
}, { __index = debug })

io = io or {}
if not io.type then
  io = setmetatable({ type = function() return nil end }, { __index = io })
end

package.preload["system"] = function()
  local now = time_ok and time.monotonic or os.clock
  return {
    gettime = time_ok and time.now or os.time,
    monotime = now,
    sleep = time_ok and time.sleep,
  }
end

package.preload["term"] = function()
  return { isatty = function() return false end }
end

package.preload["pl.path"] = function()
  return {
    is_windows = false,
    dirname = function(path) return path:match("^(.*)/[^/]*$") or "" end,
    join = function(...) return table.concat({ ... }, "/") end,
    normpath = function(path) return path end,
    isabs = function(path) return path:sub(1, 1) == "/" end,
  }
end

package.preload["pl.tablex"] = function()
  return {
    copy = function(t)
      local made = {}
      for key, value in pairs(t) do made[key] = value end
      return made
    end,
  }
end

package.preload["pl.utils"] = function()
  return {
    unpack = unpack,
    execute = function() return nil end,
    split = function(text, sep)
      local parts = {}
      local pattern = "(.-)" .. sep:gsub("%p", "%%%0")
      for part in (text .. sep):gmatch(pattern) do parts[#parts + 1] = part end
      return parts
    end,
  }
end

local function write(value, depth)
  if type(value) == "string" then return ("%q"):format(value) end
  if type(value) ~= "table" or depth > 5 then return tostring(value) end
  local parts = {}
  for key, item in pairs(value) do
    parts[#parts + 1] = "[" .. write(key, depth + 1) .. "] = " .. write(item, depth + 1)
  end
  table.sort(parts)
  return "{ " .. table.concat(parts, ", ") .. " }"
end

package.preload["pl.pretty"] = function()
  return { write = function(value) return write(value, 0) end }
end

-- busted.context without the saving and restoring of globals (see above).
package.preload["busted.context"] = function()
  return function()
    local data = { descriptor = "suite", attributes = {} }
    local parents, children, stack = {}, {}, {}
    local current = data
    local ref = {}

    -- What a setup or before_each assigns is seen by the tests beside it.
    local function expose(element)
      if element.attributes.envmode ~= "unwrap" then return end
      local parent = parents[element]
      element.env = element.env or {}
      setmetatable(element.env, {
        __newindex = function(_, key, value)
          local env = parent and parent.env or {}
          if parent then parent.env = env end
          env[key] = value
        end,
      })
    end

    local context = {}
    function context.ref()
      return ref
    end
    function ref.get(key)
      if not key then return current end
      return current[key]
    end
    function ref.set(key, value)
      current[key] = value
    end
    function ref.clear()
      data = { descriptor = "suite", attributes = {} }
      parents, children, stack = {}, {}, {}
      current = data
    end
    function ref.attach(child)
      children[current] = children[current] or {}
      parents[child] = current
      table.insert(children[current], child)
    end
    function ref.children(parent)
      return children[parent] or {}
    end
    function ref.parent(child)
      return parents[child]
    end
    function ref.push(element)
      if element ~= current then expose(element) end
      table.insert(stack, current)
      current = element
    end
    function ref.pop()
      current = table.remove(stack)
    end
    return context
  end
end
