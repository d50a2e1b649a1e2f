---@meta testing
-- What editors know of capability tests: local testing = require("testing"); docs/testing.md.
-- SPDX-License-Identifier: MIT

---@class rt.TestDifference
---@field what string      "sent", "state", "calls", ...
---@field expected string
---@field got string
---@field detail string?   a traceback

---@class rt.TestResult
---@field state "completed"|"skipped"|"failed"|"retrying"|"snoozed"|"waiting"
---@field sent rt.Asset[]  in the order of sending
---@field calls string[]   "tcp.connect 192.0.2.7:22", ...
---@field logs {level: string, message: string, fields: table?}[]
---@field events {system: string, kind: string, path: string, data: any}[]
---@field progress {fraction: number, text: string?}[]
---@field files table<string, string|true>  the tree of fs; true is a folder
---@field time number      seconds of the test's clock
---@field reason string?   why it was skipped
---@field error rt.Error?
---@field snooze number?   seconds
---@field runs {at: number, state: string, reason: string?, attempt: integer, value: string}[]?

---@class rt.TestCase
---@field file string
---@field name string
---@field ok boolean
---@field differences rt.TestDifference[]
---@field result rt.TestResult?

---@class rt.testing
local testing = {}

--- Run the cases of test files.
---@param paths string[]
---@param opts {filter: string?, limit: number?, on_case: fun(case: rt.TestCase)?}?  filter: only
--- cases whose name has it; limit: real seconds that a case may compute (10)
---@return {passed: integer, failed: integer, cases: rt.TestCase[]} report
function testing.run(paths, opts) end

--- What `runtime test` does: run the files (of folders, those called *.test.lua), print a line for
--- each case and a summary.
---@param paths string[]
---@param opts {filter: string?, json: boolean?}?
---@return integer exit_code  0, or 1 when a case failed
function testing.main(paths, opts) end

return testing
