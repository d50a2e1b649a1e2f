---@meta capability
-- What editors know of capabilities and their jobs; `capability` is a global of every script.
-- SPDX-License-Identifier: MIT

---@class rt.Asset
---@field class string
---@field value string
---@field key string?      "class:value" by default
---@field metadata table?  plain values

---@alias rt.Outcome
---| "queued"
---| "started"
---| "stored"
---| "duplicate"
---| "out_of_scope"
---| "over_limit"

---@class rt.Job
---@field id integer
---@field capability string
---@field target string  "class:value"
---@field key string      its asset's
---@field attempt integer  from 1
---@field session string   its name
---@field errors { capability: string, kind: string, message: string }[]  of earlier stages
---@field options table<string, any>
local Job = {}

--- Stream a result, or a list of them, to the session; waits until the engine has applied it.
---@param asset rt.Asset|rt.Asset[]
---@return rt.Outcome|rt.Outcome[]|nil outcome, rt.Error? err
function Job:send(asset) end

--- End this invocation; the job runs again after `delay`, without using up an attempt.
---@param delay rt.Duration
function Job:snooze(delay) end

--- "Come back later": ends this invocation; it and all jobs of the capability with the same rate
--- key (without one: all of the capability) start no earlier than then, in every session.
---@param when rt.Duration|{at: number}  a duration, or a unix time
function Job:hold(when) end

--- Write to the log, with the job, its capability and its target among the fields.
---@param level "debug"|"info"|"warn"|"error"
---@param message string
---@param fields table<string, any>?
---@return true? ok, rt.Error? err  also as `session`, `job.log` on the bus
function Job:log(level, message, fields) end

--- Tell how far the job is.
---@param fraction number  0 to 1
---@param text string?
---@return true? ok, rt.Error? err
function Job:progress(fraction, text) end

--- Has the job been asked to end?
---@return boolean
function Job:canceled() end

--- When it must have ended (as time.now()), or nil.
---@return number?
function Job:deadline() end

---@class rt.Option
---@field default any
---@field description string?
---@field type "string"|"number"|"boolean"|nil

---@class rt.Declaration
---@field name string
---@field description string?
---@field input string[]?   classes, patterns, or events ("asset.gone:ipv4"); required without `every`
---@field output string[]?  classes it may send
---@field invoke fun(job: rt.Job, asset: rt.Asset)
---@field tags string[]?    words by which it is chosen: --only tag:WORD
---@field finish (fun(ctx: {session: string, options: table, reason: string}))?  at a session's end
---@field every (number|string)?  a duration or a cron expression (UTC): runs then, too
---@field active boolean?  its network modules keep to the session's scope
---@field exec boolean?  it may run programs although it is active: those keep to no scope
---@field setup (fun(ctx: {session: string, options: table}): any, any)?  once per worker
---@field match (fun(asset: rt.Asset, ctx: table): boolean, string?)?
---@field priority integer?       1 runs first, 9 last; 5
---@field max_instances integer?  jobs at once, over the whole runtime
---@field timeout rt.Duration|false|nil  of one attempt; 1 h
---@field retries integer?        further attempts after a retryable error or a timeout
---@field rate number|string|nil  starts per time: "200/s", "5/m"
---@field rate_key (fun(asset: rt.Asset): string)?
---@field prioritize (fun(asset: rt.Asset): integer)?
---@field options table<string, rt.Option>?
---@field rerun string?    "once" (the default), "on_change", "always", "after:24h"
---@field version string?  told with its jobs and assets; without it the hash of its file

--- Declare a capability; a script file returns one, or a list of them.
---@param declaration rt.Declaration
---@return rt.Declaration
function capability(declaration) end
