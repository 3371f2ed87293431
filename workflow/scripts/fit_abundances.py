# SPDX-License-Identifier: GPL-3.0-or-later

from mlatem.logs import to_file
from mlatem.steps.blocks import fit_abundances
from mlatem.steps.spread import as_configured

with to_file(snakemake.log[0]), as_configured(snakemake.config, snakemake.threads):
    fit_abundances(
        snakemake.input.store,
        snakemake.input.compositions,
        abundances=snakemake.output[0],
        block=snakemake.wildcards.scatteritem,
        threads=snakemake.threads,
    )
