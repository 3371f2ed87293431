# SPDX-License-Identifier: GPL-3.0-or-later

from mlatem import settings
from mlatem.logs import to_file
from mlatem.sheet import DatasetRow
from mlatem.steps.quantify import quantify

with to_file(snakemake.log[0]):
    quantify(
        snakemake.input.factorization,
        snakemake.input.calibration,
        table=snakemake.output.table,
        maps=snakemake.output.maps,
        dataset=snakemake.wildcards.dataset,
        edxs=settings.Edxs(**snakemake.params.edxs),
        settings=settings.Quantify(**snakemake.params.quantify),
        row=DatasetRow.from_strings(snakemake.params.row),
    )
