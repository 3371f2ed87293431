# SPDX-License-Identifier: GPL-3.0-or-later

from mlatem.logs import to_file
from mlatem.steps.blocks import merge

with to_file(snakemake.log[0]):
    merge(
        snakemake.input.store,
        snakemake.input.compositions,
        snakemake.input.abundances,
        factorization=snakemake.output[0],
    )
