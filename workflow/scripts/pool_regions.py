# SPDX-License-Identifier: GPL-3.0-or-later

from mlatem import steps
from mlatem.logs import to_file

with to_file(snakemake.log[0]):
    steps.pool_regions(
        snakemake.input.store,
        snakemake.input.regions,
        sums=snakemake.output[0],
        block=snakemake.wildcards.scatteritem,
        threads=snakemake.threads,
    )
