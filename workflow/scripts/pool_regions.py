# SPDX-License-Identifier: GPL-3.0-or-later

from mlatem import settings, steps
from mlatem.logs import to_file

with to_file(snakemake.log[0]):
    steps.pool_regions(
        snakemake.input.store,
        snakemake.input.calibration,
        snakemake.input.lowrank,
        regions=snakemake.output[0],
        block=snakemake.wildcards.scatteritem,
        settings=settings.Factorize(**snakemake.params.factorize),
        threads=snakemake.threads,
    )
