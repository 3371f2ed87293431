# SPDX-License-Identifier: GPL-3.0-or-later

from mlatem import api
from mlatem.logs import to_file
from mlatem.steps.blocks import pool_regions
from mlatem.steps.spread import as_configured

with to_file(snakemake.log[0]), as_configured(snakemake.config, snakemake.threads):
    places = snakemake.params.places
    pool_regions(
        snakemake.input.store,
        snakemake.input.regions,
        sums=snakemake.output[0],
        priors=None if places is None else api.load_priors(places),
        block=snakemake.wildcards.scatteritem,
        threads=snakemake.threads,
    )
