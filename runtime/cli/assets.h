/* cli/assets.h - an asset as a line of JSON.
 * SPDX-License-Identifier: MIT */
#ifndef CLI_ASSETS_H
#define CLI_ASSETS_H

#include "rt/session.h"

/* {key, class, value, metadata, depth, parent, capability?} without a line
 * end; `*text` is released with rt_free(). `asset` is a row of
 * rt_report_assets(). */
rt_err cli_asset_line(rt_view asset, char **text, size_t *size, rt_error *err);

/* The member "metadata" of the object being built; {} for none. */
void cli_put_metadata(rt_builder *b, rt_view metadata);

#endif
