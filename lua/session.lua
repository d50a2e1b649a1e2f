--- session - durable work: assets, the jobs they lead to, and what those found.
-- A session is one SQLite file, owned by the engine's thread. Calls go there as operations that
-- suspend the calling coroutine only; reports (assets, edges, jobs, explain, why) read the file.
-- A session that a process opened is closed when that process ends.
-- SPDX-License-Identifier: MIT
local check = require("rt.check")
local core = require("rt.core.session")
local duration = require("rt.duration")
local errors = require("rt.errors")
local register = require("rt.register")
local task = require("rt.task")

local M = {}

local DEFAULT_DIR = ".runtime"
local PAGE = 500

---@class rt.Session
---@field queue rt.SessionQueue
local methods = {}
local meta = { __index = methods, __metatable = false, __name = "session" }

---@class rt.SessionQueue
local queue_methods = {}
local queue_meta = { __index = queue_methods, __metatable = false, __name = "session queue" }

-- opening ---------------------------------------------------------------------------------------

local function string_list(value, field)
  if value == nil then return nil end
  check.table(value, field, "open")
  local copy = {}
  for i = 1, #value do
    check.string(value[i], field, "open")
    copy[i] = value[i]
  end
  return copy
end

local function optional_count(value, field)
  check.optional_integer(value, field, "open")
  if value and value < 0 then check.fail(field, "open", "negative number") end
  return value
end

local LIMITS = {
  depth = true, assets = true, fanout = true, descendants = true, repeats = true,
}

local function check_limits(limits)
  check.optional_table(limits, "limits", "open")
  limits = limits or {}
  for name, value in pairs(limits) do
    if not LIMITS[name] then check.fail("limits", "open", "unknown limit " .. tostring(name)) end
    optional_count(value, "limits." .. name)
  end
  return limits
end

local FIELDS = {
  name = true,
  dir = true,
  mode = true,
  capabilities = true,
  only = true,
  without = true,
  scope = true,
  limits = true,
  concurrency = true,
  deadline = true,
  grace = true,
  patience = true,
  max_journal = true,
  sync = true,
  start = true,
  options = true,
  config = true,
}

local function check_fields(opts)
  for name in pairs(opts) do
    if not FIELDS[name] then check.fail(tostring(name), "open", "unknown option") end
  end
end

-- false: for ever, which is negative in C; 0 there is the default.
local function patience(value)
  if value == false then return -1 end
  local seconds = duration.optional(value, "patience", "open")
  return seconds and math.max(seconds, 1e-3)
end

local function sync_normal(value)
  if value == nil or value == "full" or value == "normal" then return value == "normal" end
  check.fail("sync", "open", '"full" or "normal" expected')
end

local function settings(opts)
  check_fields(opts)
  check.string(opts.name, "name", "open")
  check.optional_string(opts.dir, "dir", "open")
  check.optional_string(opts.mode, "mode", "open")
  check.optional_boolean(opts.start, "start", "open")
  check.optional_table(opts.options, "options", "open")
  check.optional_table(opts.capabilities, "capabilities", "open")
  local limits = check_limits(opts.limits)
  return {
    name = opts.name,
    dir = opts.dir or DEFAULT_DIR,
    mode = opts.mode,
    only = string_list(opts.only, "only"),
    without = string_list(opts.without, "without"),
    scope = string_list(opts.scope, "scope"),
    max_depth = limits.depth,
    max_assets = limits.assets,
    max_fanout = limits.fanout,
    max_descendants = limits.descendants,
    max_repeats = limits.repeats,
    concurrency = optional_count(opts.concurrency, "concurrency"),
    deadline = duration.optional(opts.deadline, "deadline", "open"),
    grace = duration.optional(opts.grace, "grace", "open"),
    patience = patience(opts.patience),
    max_journal = optional_count(opts.max_journal, "max_journal"),
    sync_normal = sync_normal(opts.sync),
    paused = opts.start == false,
    options = opts.options,
    config = opts.config,
  }
end

-- C takes a text to end at its first NUL byte: none of these has one.
local function whole(config)
  local texts = { config.name, config.dir, config.mode or "" }
  for _, name in ipairs({ "only", "without", "scope" }) do
    for _, text in ipairs(config[name] or {}) do
      texts[#texts + 1] = text
    end
  end
  for _, text in ipairs(texts) do
    if text:find("\0", 1, true) then
      return nil, errors.new({ message = ("open: NUL byte in %q"):format(text), kind = "INVALID" })
    end
  end
  return true
end

--- Open the session `name` in `dir`, or create it.
---@param opts table  name, dir, mode ("create", "resume"), capabilities, only, without, scope,
--- limits, concurrency, deadline, grace, patience, max_journal, sync, options, config, start
---@return rt.Session? session, rt.Error? err
function M.open(opts)
  check.table(opts, 1, "open")
  local config = settings(opts)
  local ok, fault = whole(config)
  if not ok then return nil, fault end
  if opts.capabilities then
    local names, err = {}, nil
    if next(opts.capabilities) ~= nil then names, err = register.borrow(opts.capabilities) end
    if not names then return nil, err end
    config.brought, config.only = names, config.only or names
  end
  local handle, err = task.await(core.open(config))
  if not handle then return nil, err end
  local self = { _handle = handle, _name = config.name, _dir = config.dir }
  self.queue = setmetatable({ _handle = handle }, queue_meta)
  return setmetatable(self, meta)
end

-- work ------------------------------------------------------------------------------------------

local function is_list(value)
  return value.class == nil and value.value == nil and value[1] ~= nil
end

--- Give the session an asset, or a list of them: "queued", "started", "stored", "duplicate",
--- "out_of_scope" or "over_limit" (a list gives a list).
---@param asset table  {class=, value=, key?, metadata?}
---@param opts table?  {meta=, name=, priority=}
function methods:dispatch(asset, opts)
  check.optional_table(asset, 1, "dispatch")
  check.optional_table(opts, 2, "dispatch")
  if asset == nil then return nil, errors.make("dispatch: no asset", "INVALID") end
  local priority = opts and check.optional_integer(opts.priority, "priority", "dispatch")
  local meta_given = opts and opts.meta or false
  local name = opts and check.optional_string(opts.name, "name", "dispatch")
  local op = core.dispatch(self._handle, asset, meta_given, priority or 0, name)
  local outcomes, err = task.await(op)
  if not outcomes then return nil, err end
  return is_list(asset) and outcomes or outcomes[1]
end

--- Wait until nothing is queued or running any more; a summary of the round.
---@param timeout number|string|nil
---@return table? summary, rt.Error? err
function methods:wait(timeout)
  local seconds = duration.optional(timeout, 1, "wait")
  local summary, err = task.await(core.wait(self._handle), seconds)
  return summary, err
end

--- Counters of the session.
---@return table? stats, rt.Error? err
function methods:stats()
  local stats, err = task.await(core.stats(self._handle))
  return stats, err
end

--- Start no new jobs until resume().
function methods:pause()
  core.pause(self._handle)
  return true
end

function methods:resume()
  core.resume(self._handle)
  return true
end

--- End the work: running jobs are asked, and ended after the grace; what is queued stays in the
--- file, or is canceled for good with {discard=true}.
---@param reason string?
---@param opts table?
function methods:cancel(reason, opts)
  check.optional_string(reason, 1, "cancel")
  check.optional_table(opts, 2, "cancel")
  local ok, err = task.await(core.cancel(self._handle, reason, opts and opts.discard or false))
  if not ok then return nil, err end
  return true
end

--- Delete the asset with this key, for good: true, or nil, NOT_FOUND, or CONFLICT while a job of it
--- runs. Its queued jobs go with it; what it led to stays.
---@param key string
function methods:delete(key)
  check.string(key, 1, "delete")
  local ok, err = task.await(core.queue(self._handle, "remove", { { key = key } }))
  if not ok then return nil, err end
  return true
end

--- Canceled or closed?
function methods:done()
  return core.done(self._handle)
end

--- Drain, and let go of the file. A second call does nothing.
function methods:close()
  local ok, err = task.await(core.close(self._handle))
  if not ok then return nil, err end
  return true
end

function methods:name()
  return self._name
end

-- reports ---------------------------------------------------------------------------------------

-- What was applied before is on disk when the answer to stats comes.
local function report(self, verb, ...)
  if not core.done(self._handle) then task.await(core.stats(self._handle)) end
  return task.await(core.report(verb, { self._dir, self._name, ... }))
end

-- Pages of rows as one sequence. `fetch(state)` answers the next rows, or nil, err.
local function rows(fetch)
  local page, at, last = nil, 0, false
  return function()
    while true do
      at = at + 1
      if page and page[at] then return page[at] end
      if last then return nil end
      local next_page, more = fetch()
      if not next_page then error(more, 2) end
      page, at, last = next_page, 0, not more
    end
  end
end

-- Rows after the id `after` that fit `want`, at most `most` of them.
local function by_id(self, verb, after, want, most)
  local left = most or math.huge
  return rows(function()
    local size = math.min(PAGE, left)
    local page, err = report(self, verb, after, size, want)
    if not page then return nil, err end
    if #page > 0 then after = page[#page].id end
    left = left - #page
    return page, #page == size and left > 0
  end)
end

local function check_wanted(opts, verb, texts, others)
  check.optional_table(opts, 1, verb)
  opts = opts or {}
  for name, value in pairs(opts) do
    if texts[name] then
      check.string(value, name, verb)
    elseif not others[name] then
      check.fail(tostring(name), verb, "unknown option")
    end
  end
  check.optional_integer(opts.since, "since", verb)
  check.optional_integer(opts.limit, "limit", verb)
  return opts
end

local ASSET_TEXTS = {
  class = true, value = true, prefix = true, capability = true, parent = true,
}
local ASSET_OTHERS = {
  since = true, limit = true, metadata = true, depth = true,
  found_since = true, found_before = true, changed_since = true,
}

--- Iterate over the assets in order of creation, all or those that fit what is given.
---@param opts table?  class=, value= patterns; prefix= how the value begins; metadata= fields;
--- capability=, parent= of one of the ways to it; found_since=, found_before=, changed_since= unix
--- seconds; depth= at most; since= an id: only later ones; limit=
function methods:assets(opts)
  opts = check_wanted(opts, "assets", ASSET_TEXTS, ASSET_OTHERS)
  check.optional_table(opts.metadata, "metadata", "assets")
  check.optional_integer(opts.depth, "depth", "assets")
  check.optional_number(opts.found_since, "found_since", "assets")
  check.optional_number(opts.found_before, "found_before", "assets")
  check.optional_number(opts.changed_since, "changed_since", "assets")
  local metadata = opts.metadata
  if metadata and next(metadata) == nil then metadata = nil end
  return by_id(self, "assets", opts.since or 0, {
    class = opts.class, value = opts.value, prefix = opts.prefix, metadata = metadata,
    capability = opts.capability, parent = opts.parent, depth = opts.depth,
    found_since = opts.found_since, found_before = opts.found_before,
    changed_since = opts.changed_since,
  }, opts.limit)
end

--- The asset with this key, or nil, NOT_FOUND.
function methods:asset(key)
  check.string(key, 1, "asset")
  local asset, err = report(self, "asset", key)
  return asset, err
end

local EDGE_TEXTS = { from = true, capability = true, to = true }
local EDGE_OTHERS = { since = true, limit = true }

--- Iterate over the edges: who found what. They are triples: from - capability - to.
---@param opts table?  from=, to= keys; capability=; since= an id: only later ones; limit=
function methods:edges(opts)
  opts = check_wanted(opts, "edges", EDGE_TEXTS, EDGE_OTHERS)
  local want = { from = opts.from, capability = opts.capability, to = opts.to }
  return by_id(self, "edges", opts.since or 0, want, opts.limit)
end

--- Iterate over the jobs.
---@param opts table?  state=, capability=
function methods:jobs(opts)
  check.optional_table(opts, 1, "jobs")
  opts = opts or {}
  check.optional_string(opts.state, "state", "jobs")
  check.optional_string(opts.capability, "capability", "jobs")
  local cursor = ""
  return rows(function()
    local answer, err = report(self, "jobs", cursor, PAGE, opts.state or false, opts.capability)
    if not answer then return nil, err end
    cursor = answer.cursor
    for _, job in ipairs(answer.jobs) do
      job.errors = job.errors or {}
    end
    return answer.jobs, cursor ~= nil
  end)
end

--- The chain of capabilities from a seed to this asset.
function methods:explain(key)
  check.string(key, 1, "explain")
  local chain, err = report(self, "explain", key)
  return chain, err
end

--- What keeps the session open.
function methods:why()
  local reasons, err = report(self, "why")
  return reasons, err
end

--- Why this capability ran, was skipped, failed or never matched for this asset.
function methods:why_not(capability, key)
  check.string(capability, 1, "why_not")
  check.string(key, 2, "why_not")
  local answer, err = report(self, "why_not", capability, key)
  return answer, err
end

-- the queue -------------------------------------------------------------------------------------

local function queue_call(verb, position, kind)
  return function(self, ...)
    check[kind]((...), position, verb)
    local answer, err = task.await(core.queue(self._handle, verb, { ... }))
    if answer == nil then return nil, err end
    return answer
  end
end

--- Is the asset in the queue, processed or not?
queue_methods.has = queue_call("has", 1, "table")
--- Put it there; a second time: nil, ALREADY_EXISTS.
queue_methods.append = queue_call("append", 1, "table")
--- Mark it processed; an unknown one is fine.
queue_methods.processed = queue_call("processed", 1, "table")
--- Take it out; an unknown one is fine.
queue_methods.delete = queue_call("delete", 1, "table")

--- The `n` oldest unprocessed assets of the class; takes nothing.
function queue_methods:next(class, n)
  check.string(class, 1, "next")
  check.optional_integer(n, 2, "next")
  local assets, err = task.await(core.queue(self._handle, "next", { class, n or 1 }))
  return assets, err
end

-- all sessions ----------------------------------------------------------------------------------

--- The sessions in a folder, by name.
---@param dir string?
function M.list(dir)
  check.optional_string(dir, 1, "list")
  local list, err = task.await(core.report("list", { dir or DEFAULT_DIR }))
  return list, err
end

--- Delete a session's file. CONFLICT while it is open somewhere.
---@param dir string?
function M.remove(name, dir)
  check.string(name, 1, "remove")
  check.optional_string(dir, 2, "remove")
  local ok, err = task.await(core.report("remove", { dir or DEFAULT_DIR, name }))
  if not ok then return nil, err end
  return true
end

return M
