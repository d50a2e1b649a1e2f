---@meta events
-- What editors know of the bus: local events = require("events"). SPDX-License-Identifier: MIT

---@class rt.Event
---@field system string
---@field kind string
---@field path string
---@field data any  plain values; nil when there is none

---@class rt.SubscribeOptions
---@field buffer integer?  events that may wait for this subscriber (262144)
---@field overflow "drop_oldest"|"drop_newest"|"close"|nil

---@class rt.Subscription
local Subscription = {}

--- The channel of its events; the same one each time.
---@return rt.Channel
function Subscription:channel() end

--- Hear no more. What is buffered stays readable. Idempotent.
---@return true
function Subscription:close() end

--- How many events were lost because the buffer was full.
---@return integer
function Subscription:dropped() end

---@class rt.Subscriber
local Subscriber = {}

--- Hear no more; waits for a running handler, unless called from inside it. Idempotent.
---@return true
function Subscriber:close() end

--- How many events were lost because the buffer was full.
---@return integer
function Subscriber:dropped() end

---@class rt.Route
---@field system string  pattern
---@field kind string?   pattern
---@field handle fun(event: rt.Event)

---@class rt.EventRouter
local EventRouter = {}

--- One handler more.
---@param route rt.Route
---@return true? ok, rt.Error? err  CANCELED after stop()
function EventRouter:add(route) end

--- Close all handlers; waits for running ones. Idempotent.
---@return true
function EventRouter:stop() end

---@class rt.Awaited
---@field event rt.Event
---@field accepted boolean  the kind is "accept" or ends in ".accept" or ".accepted"
---@field error any         the event's data when it is not accepted

---@class rt.Waiter
local Waiter = {}

--- Wait for the event.
---@return rt.Awaited? result, rt.Error? err  TIMEOUT naming the path
function Waiter:wait() end

--- Wait no more. Idempotent.
---@return true
function Waiter:close() end

---@class rt.Awaiter
local Awaiter = {}

--- Begin to wait for an event of `path`, before what triggers it.
---@param path string
---@param opts { timeout: rt.Duration? }?  30 s by default, from now
---@return rt.Waiter? waiter, rt.Error? err
function Awaiter:prepare(path, opts) end

--- Hear no more; those who wait get CANCELED. Idempotent.
---@return true
function Awaiter:close() end

---@class rt.BusStats
---@field subscribers integer
---@field published integer
---@field delivered integer
---@field dropped integer
---@field queued integer
---@field rejected { cap: integer, full: integer, closed: integer, invalid: integer, memory: integer }

---@class rt.events
local events = {}

--- Hear events whose system and kind match. What anybody sends afterwards is seen.
---@param system string  pattern
---@param kind string?   pattern; nil, "" or "**" means any
---@param opts rt.SubscribeOptions?
---@return rt.Subscription? sub, rt.Error? err
function events.subscribe(system, kind, opts) end

--- Publish an event; true also when nobody listens. Waits only while the bus is full.
---@param system string
---@param kind string
---@param path string
---@param data any  plain values; nil for none
---@return true? ok, rt.Error? err
function events.send(system, kind, path, data) end

--- Call `handler(event)` for each event, one after the other. One that fails is logged.
---@param system string
---@param kind string?
---@param handler fun(event: rt.Event)
---@param opts rt.SubscribeOptions?
---@return rt.Subscriber? subscriber, rt.Error? err
function events.on(system, kind, handler, opts) end

--- Several handlers that are stopped together.
---@param routes rt.Route[]?
---@return rt.EventRouter? router, rt.Error? err
function events.router(routes) end

--- Wait for single events by their path.
---@param system string
---@param kind string?
---@return rt.Awaiter? awaiter, rt.Error? err
function events.awaiter(system, kind) end

--- Counters of the bus.
---@return rt.BusStats
function events.stats() end

return events
