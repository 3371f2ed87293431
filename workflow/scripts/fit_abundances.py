# SPDX-License-Identifier: GPL-3.0-or-later

from mlatem import steps
from mlatem.logs import to_file

with to_file(snakemake.log[0]):
    steps.fit_abundances(
        snakemake.input.store,
        snakemake.input.compositions,
        abundances=snakemake.output[0],
        block=snakemake.wildcards.scatteritem,
        threads=snakemake.threads,
    )
