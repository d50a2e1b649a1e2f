---@meta fs
-- What editors know of files: local fs = require("fs"). SPDX-License-Identifier: MIT

---@alias rt.FileType "file"|"directory"|"link"|"pipe"|"socket"|"device"|"unknown"

---@class rt.Stat
---@field type rt.FileType
---@field size integer
---@field mode integer
---@field uid integer
---@field gid integer
---@field inode integer
---@field links integer
---@field atime number
---@field mtime number
---@field ctime number

---@class rt.Watch
local Watch = {}

--- Channel of {path=, event="change"|"rename"}, and {event="lost", count=}.
---@return rt.Channel
function Watch:channel() end

--- Stop watching; the channel closes. Idempotent.
---@return true
function Watch:close() end

---@class rt.fs
local fs = {}

--- The whole file.
---@param path string
---@param opts { max: integer? }?  INVALID for a longer one (256 MiB)
---@return string? data, rt.Error? err
function fs.read(path, opts) end

--- Make `data` the file's content.
---@param path string
---@param data string
---@param opts { mode: integer?, exclusive: boolean? }?
---@return true? ok, rt.Error? err
function fs.write(path, data, opts) end

--- Add `data` at the end; creates the file.
---@param path string
---@param data string
---@param opts { mode: integer? }?
---@return true? ok, rt.Error? err
function fs.append(path, data, opts) end

---@param path string
---@param opts { follow: boolean? }?  follow=false: a link itself
---@return rt.Stat? stat, rt.Error? err
function fs.stat(path, opts) end

---@param path string
---@return boolean? there, rt.Error? err
function fs.exists(path) end

--- Names in a folder, in byte order, and their types.
---@param path string
---@return string[]? names, rt.FileType[]|rt.Error types
function fs.list(path) end

--- `for path, info in fs.walk(root) do`: everything below a folder.
---@param path string
---@return (fun(): string?, { type: rt.FileType, depth: integer, error: rt.Error? })? iterator
---@return rt.Error? err
function fs.walk(path) end

---@param path string
---@param opts { parents: boolean?, mode: integer? }?
---@return true? ok, rt.Error? err
function fs.mkdir(path, opts) end

---@param path string
---@param opts { recursive: boolean? }?
---@return true? ok, rt.Error? err
function fs.remove(path, opts) end

--- Give another name; a file of that name is replaced.
---@param from string
---@param to string
---@return true? ok, rt.Error? err
function fs.rename(from, to) end

--- The absolute path without links.
---@param path string
---@return string? path, rt.Error? err
function fs.realpath(path) end

--- A new folder in $TMPDIR, for its maker alone.
---@param prefix string?
---@return string? path, rt.Error? err
function fs.temp_dir(prefix) end

--- A new empty file in $TMPDIR, for its maker alone.
---@param prefix string?
---@return string? path, rt.Error? err
function fs.temp_file(prefix) end

--- Changes of a file, or of what is in a folder.
---@param path string
---@return rt.Watch? watch, rt.Error? err
function fs.watch(path) end

return fs
