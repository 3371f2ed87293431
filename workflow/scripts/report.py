# SPDX-License-Identifier: GPL-3.0-or-later

from mlatem import settings
from mlatem.logs import to_file
from mlatem.sheet import DatasetRow
from mlatem.steps.index import refresh
from mlatem.steps.report import DatasetFiles, report

with to_file(snakemake.log[0]):
    report(
        DatasetFiles(
            store=snakemake.input.store,
            calibration=snakemake.input.calibration,
            lowrank=snakemake.input.lowrank,
            factorization=snakemake.input.factorization,
            table=snakemake.input.table,
            maps=snakemake.input.maps,
            rare=snakemake.input.rare,
        ),
        page=snakemake.output.page,
        done=snakemake.output.done,
        row=DatasetRow.from_strings(snakemake.params.row),
        settings=settings.Settings(**snakemake.params.settings),
    )
    refresh()
