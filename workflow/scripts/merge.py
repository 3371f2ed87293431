# SPDX-License-Identifier: GPL-3.0-or-later

from mlatem import steps
from mlatem.logs import to_file

with to_file(snakemake.log[0]):
    steps.merge(
        snakemake.input.store,
        snakemake.input.compositions,
        snakemake.input.abundances,
        factorization=snakemake.output[0],
    )
