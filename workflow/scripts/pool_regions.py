# SPDX-License-Identifier: GPL-3.0-or-later

from mlatem.logs import to_file
from mlatem.steps.blocks import pool_regions

with to_file(snakemake.log[0]):
    pool_regions(
        snakemake.input.store,
        snakemake.input.regions,
        sums=snakemake.output[0],
        block=snakemake.wildcards.scatteritem,
        threads=snakemake.threads,
    )
