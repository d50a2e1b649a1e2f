#!/usr/bin/env bash
# A short soak; `make soak SECONDS=600` runs a long one.
# SPDX-License-Identifier: MIT
exec "$BUILD/fault/soak" 12
