#!/usr/bin/env bash
# A short soak, the same each time (SEED); `make soak SECONDS=600` runs a long one.
# SPDX-License-Identifier: MIT
exec "$BUILD/fault/soak" 12 "${SEED:-1}"
