# SPDX-License-Identifier: GPL-3.0-or-later

from mlatem.logs import to_file
from mlatem.steps.index import index

with to_file(snakemake.log[0]):
    index(
        snakemake.params.rows,
        results="results",
        logs="logs",
        title=snakemake.params.title,
    )
