# SPDX-License-Identifier: GPL-3.0-or-later

from mlatem import settings
from mlatem.logs import to_file
from mlatem.steps.index import refresh
from mlatem.steps.parts import analyse_part

with to_file(snakemake.log[0]):
    analyse_part(
        snakemake.params.rows,
        settings=settings.Settings(**snakemake.params.settings),
        results="results",
        logs="logs",
        done=snakemake.output[0],
        threads=snakemake.threads,
        after_each=refresh,
    )
