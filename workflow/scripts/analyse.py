# SPDX-License-Identifier: GPL-3.0-or-later

from pathlib import Path

from mlatem import settings
from mlatem.logs import to_file
from mlatem.sheet import DatasetRow
from mlatem.steps.index import refresh
from mlatem.steps.spread import as_configured
from mlatem.steps.whole import analyse

with to_file(snakemake.log[0]), as_configured(snakemake.config, snakemake.threads):
    row = DatasetRow.from_strings(snakemake.params.row)
    analyse(
        row.path,
        Path(snakemake.output[0]).parent,
        row=row,
        settings=settings.Settings(**snakemake.params.settings),
        factors=snakemake.params.factors,
        priors=snakemake.params.priors,
        mask=snakemake.params.mask,
        threads=snakemake.threads,
    )
    refresh()
