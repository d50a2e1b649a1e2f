--- capability - the global function that declares what a script file offers.
-- It checks every field and answers the declaration, or raises with file, line and field.
-- SPDX-License-Identifier: MIT
return require("rt.declaration").capability
