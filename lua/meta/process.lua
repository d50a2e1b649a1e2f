---@meta process
-- What editors know of processes; a global of every script. SPDX-License-Identifier: MIT

--- An opaque text, good for one process and never used again.
---@alias rt.Pid string

---@class rt.Message
local Message = {}

---@return rt.Pid?  nil when it came from the host program
function Message:from() end

---@return string
function Message:topic() end

---@return any ...  all payloads
function Message:payload() end

---@class rt.ProcessEvent
---@field kind "EXIT"|"LINK_DOWN"|"CANCEL"
---@field from rt.Pid?
---@field result { value: any, error: rt.Error? }?  of EXIT
---@field reason any  of LINK_DOWN (an error) and of CANCEL

---@class rt.ProcessInfo
---@field pid rt.Pid
---@field name string?    one that it has registered
---@field state string  "running", "ready", "waiting"; "stuck": its worker was given up (--unsafe)
---@field mailbox integer  messages that wait
---@field memory integer   bytes, an estimate
---@field age number       seconds

---@class rt.process
process = {}

---@type { EXIT: "EXIT", LINK_DOWN: "LINK_DOWN", CANCEL: "CANCEL" }
process.event = {}

---@return rt.Pid
function process.pid() end

--- Start a process: a path (with "/" or ".lua"), a module name, or a function without upvalues.
---@param what string|function
---@param ... any  copied to it
---@return rt.Pid? pid, rt.Error? err
function process.spawn(what, ...) end

--- The same, and its end comes as an EXIT event.
---@param what string|function
---@param ... any
---@return rt.Pid? pid, rt.Error? err
function process.spawn_monitored(what, ...) end

--- The same, and the two share their fate; see set_options.
---@param what string|function
---@param ... any
---@return rt.Pid? pid, rt.Error? err
function process.spawn_linked(what, ...) end

---@param what string|function
---@param ... any
---@return rt.Pid? pid, rt.Error? err
function process.spawn_linked_monitored(what, ...) end

--- Start a process and wait for its result.
---@param what string|function
---@param ... any
---@return any result, rt.Error? err
function process.exec(what, ...) end

--- Send a message to a PID or a registered name.
---@param dest rt.Pid|string
---@param topic string  not beginning with "@"
---@param ... any       copied
---@return true? ok, rt.Error? err
function process.send(dest, topic, ...) end

--- The channel of messages for which there is no listener.
---@return rt.Channel
function process.inbox() end

--- The channel of one topic: first payloads, or message objects.
---@param topic string
---@param options { message: boolean? }?
---@return rt.Channel? ch, rt.Error? err
function process.listen(topic, options) end

--- Stop listening; the channel is closed, what it holds stays readable.
---@param ch rt.Channel
---@return true? ok, rt.Error? err
function process.unlisten(ch) end

--- The channel of events about other processes, and CANCEL.
---@return rt.Channel
function process.events() end

--- Be told by an EXIT event when it ends.
---@param dest rt.Pid|string
---@return true? ok, rt.Error? err
function process.monitor(dest) end

---@param dest rt.Pid|string
---@return true? ok, rt.Error? err
function process.unmonitor(dest) end

--- Share its fate; see set_options.
---@param dest rt.Pid|string
---@return true? ok, rt.Error? err
function process.link(dest) end

---@param dest rt.Pid|string
---@return true? ok, rt.Error? err
function process.unlink(dest) end

--- Ask it to end: it gets a CANCEL event.
---@param dest rt.Pid|string
---@param reason string?
---@return true? ok, rt.Error? err
function process.cancel(dest, reason) end

--- End it, also in the middle of a loop.
---@param dest rt.Pid|string
---@return true? ok, rt.Error? err
function process.terminate(dest) end

--- trap_links: the end of a linked process comes as LINK_DOWN instead of ending this one.
---@param options { trap_links: boolean? }
---@return true
function process.set_options(options) end

---@return { trap_links: boolean }
function process.get_options() end

--- All processes, oldest first.
---@return rt.ProcessInfo[]
function process.list() end

---@class rt.names
process.registry = {}

--- Give a name to a process (this one unless given).
---@param name string
---@param pid rt.Pid?
---@return true? ok, rt.Error? err  ALREADY_EXISTS
function process.registry.register(name, pid) end

---@param name string
---@return rt.Pid? pid, rt.Error? err  NOT_FOUND
function process.registry.lookup(name) end

---@param name string
---@return true? ok, rt.Error? err  NOT_FOUND
function process.registry.unregister(name) end

return process
