# SPDX-License-Identifier: GPL-3.0-or-later

from mlatem import api
from mlatem.logs import to_file
from mlatem.steps.blocks import pool_regions

with to_file(snakemake.log[0]):
    places = snakemake.params.places
    pool_regions(
        snakemake.input.store,
        snakemake.input.regions,
        sums=snakemake.output[0],
        priors=None if places is None else api.load_priors(places),
        block=snakemake.wildcards.scatteritem,
        threads=snakemake.threads,
    )
