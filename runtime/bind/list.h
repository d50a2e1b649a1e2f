/* The C halves of the Lua library: X(NAME) for each bind_NAME.c. */
X(task)
X(process)
X(errors)
X(json)
X(time)
X(crypto)
X(events)
