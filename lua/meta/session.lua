---@meta session
-- What editors know of sessions: local session = require("session"). SPDX-License-Identifier: MIT

---@class rt.Limits
---@field depth integer?        steps from a seed
---@field assets integer?       of the session
---@field fanout integer?       accepted results of one job
---@field descendants integer?  assets below one seed
---@field repeats integer?      of one capability on the way from a seed

---@class rt.SessionOptions
---@field name string
---@field dir string?  ".runtime" by default
---@field mode "create"|"resume"|nil
---@field capabilities (string|rt.Declaration)[]?  paths and tables; all registered ones without it
---@field only string[]?     names
---@field without string[]?  names
---@field scope string[]?    rules
---@field limits rt.Limits?
---@field concurrency integer?  256
---@field deadline rt.Duration?
---@field grace rt.Duration?    5 s
---@field patience rt.Duration|false|nil  how long a damaged or lost file is waited for: 60 s; false: for ever
---@field max_journal integer?  bytes of the file's log, past which readers hold writers back: 512 MB
---@field sync "full"|"normal"|nil  "normal": a loss of power may cost the last commits, a crash nothing
---@field options table<string, table<string, any>>?  by capability
---@field config table?
---@field start boolean?  false: nothing runs until s:resume()

---@class rt.StoredAsset
---@field id integer
---@field key string
---@field class string
---@field value string
---@field metadata table?
---@field depth integer
---@field parent string?  nil for seeds

---@class rt.StoredJob
---@field id integer|string
---@field capability string
---@field target string
---@field state string
---@field attempt integer
---@field reason string?
---@field errors { kind: rt.ErrorKind, message: string, stack: string? }[]

---@class rt.SessionStats
---@field memory { resident:integer, lua:integer, malloc:integer, target:integer, excess:integer, ceiling:integer, collections:integer, pauses:integer, paused:boolean }  of the program
---@field work_items_total integer
---@field work_items_completed integer
---@field queued integer
---@field running integer
---@field skipped integer
---@field failed integer
---@field assets table<string, integer>
---@field capabilities table<string, table>

---@class rt.SessionQueue
local SessionQueue = {}

--- Is the asset in the queue, processed or not?
---@param asset rt.Asset
---@return boolean? there, rt.Error? err
function SessionQueue:has(asset) end

--- Put it there; a second time: nil, ALREADY_EXISTS.
---@param asset rt.Asset
---@return true? ok, rt.Error? err
function SessionQueue:append(asset) end

--- Mark it processed; an unknown one is fine.
---@param asset rt.Asset
---@return true? ok, rt.Error? err
function SessionQueue:processed(asset) end

--- Take it out; an unknown one is fine.
---@param asset rt.Asset
---@return true? ok, rt.Error? err
function SessionQueue:delete(asset) end

--- The `n` oldest unprocessed assets of the class; takes nothing.
---@param class string
---@param n integer?  1
---@return rt.StoredAsset[]? assets, rt.Error? err
function SessionQueue:next(class, n) end

---@class rt.Session
---@field queue rt.SessionQueue
local Session = {}

--- Give the session an asset, or a list of them (then a list of outcomes).
---@param asset rt.Asset|rt.Asset[]
---@param opts { meta: any, name: string?, priority: integer? }?
---@return rt.Outcome|rt.Outcome[]|nil outcome, rt.Error? err
function Session:dispatch(asset, opts) end

--- Wait until nothing is queued or running any more; a summary of the round.
---@param timeout rt.Duration?
---@return rt.SessionStats? summary, rt.Error? err
function Session:wait(timeout) end

---@return rt.SessionStats? stats, rt.Error? err
function Session:stats() end

--- Start no new jobs until resume().
---@return true
function Session:pause() end

---@return true
function Session:resume() end

--- End the work; what is queued stays in the file, or is canceled for good with {discard=true}.
---@param reason string?
---@param opts { discard: boolean? }?
---@return true? ok, rt.Error? err
function Session:cancel(reason, opts) end

--- Delete an asset with its jobs and the ways to it, for good; what it led to stays.
---@param key string
---@return true? ok, rt.Error? err  NOT_FOUND; CONFLICT: a job of it is running
function Session:delete(key) end

--- Canceled or closed?
---@return boolean
function Session:done() end

--- Drain, and let go of the file. A second call does nothing.
---@return true? ok, rt.Error? err
function Session:close() end

---@return string
function Session:name() end

---@class rt.AssetQuery  what is given must all hold
---@field class string?  a pattern
---@field value string?  a pattern
---@field prefix string?  how the value begins
---@field metadata table<string, any>?  fields; a text also fits a number or boolean written so
---@field capability string?  one of the ways to it is this one's
---@field parent string?  a key: one of the ways to it begins there
---@field depth integer?  at most
---@field found_since number?  stored then or later, unix seconds
---@field found_before number?  stored before that
---@field changed_since number?  stored, changed or gone then or later
---@field since integer?  an id: only later ones
---@field limit integer?

--- Iterate over the assets in order of creation.
---@param opts rt.AssetQuery?
---@return fun(): rt.StoredAsset?
function Session:assets(opts) end

---@param key string
---@return rt.StoredAsset? asset, rt.Error? err
function Session:asset(key) end

---@class rt.Edge
---@field id integer
---@field from string  a key
---@field to string  a key
---@field capability string
---@field job integer

---@class rt.EdgeQuery  what is given must all hold
---@field from string?  a key
---@field capability string?
---@field to string?  a key
---@field since integer?  an id: only later ones
---@field limit integer?

--- Iterate over the edges: who found what. They are triples: from - capability - to.
---@param opts rt.EdgeQuery?
---@return fun(): rt.Edge?
function Session:edges(opts) end

--- Iterate over the jobs.
---@param opts { state: string?, capability: string? }?
---@return fun(): rt.StoredJob?
function Session:jobs(opts) end

--- The chain of capabilities from a seed to this asset.
---@param key string
---@return table[]? chain, rt.Error? err
function Session:explain(key) end

--- What keeps the session open.
---@return table? reasons, rt.Error? err
function Session:why() end

---@class rt.WhyNot
---@field answer string  a sentence
---@field state string  of the job, or "unmatched", "rejected", "unknown"
---@field cause string  one word, see docs/sessions.md
---@field reason? string
---@field errors? table[]  of each attempt

--- Why this capability ran, was skipped, failed or never matched for this asset.
---@param capability string
---@param key string
---@return rt.WhyNot? answer, rt.Error? err
function Session:why_not(capability, key) end

---@class rt.session
local session = {}

--- Open the session `name`, or create it.
---@param opts rt.SessionOptions
---@return rt.Session? session, rt.Error? err  INVALID; CONFLICT: open elsewhere
function session.open(opts) end

--- The sessions in a folder, by name.
---@param dir string?
---@return table[]? list, rt.Error? err
function session.list(dir) end

--- Delete a session's file. CONFLICT while it is open somewhere.
---@param name string
---@param dir string?
---@return true? ok, rt.Error? err
function session.remove(name, dir) end

return session
