# SPDX-License-Identifier: GPL-3.0-or-later

from mlatem import settings
from mlatem.logs import to_file
from mlatem.steps.index import refresh
from mlatem.steps.parts import analyse_part
from mlatem.steps.spread import as_configured

with to_file(snakemake.log[0]), as_configured(snakemake.config, snakemake.threads):
    analyse_part(
        snakemake.params.rows,
        settings=settings.Settings(**snakemake.params.settings),
        results="results",
        logs="logs",
        done=snakemake.output[0],
        threads=snakemake.threads,
        after_each=refresh,
    )
