# SPDX-License-Identifier: GPL-3.0-or-later

from mlatem import settings, steps
from mlatem.logs import to_file
from mlatem.sheet import DatasetRow

with to_file(snakemake.log[0]):
    steps.solve_compositions(
        snakemake.input.store,
        snakemake.input.calibration,
        snakemake.input.regions,
        compositions=snakemake.output[0],
        row=DatasetRow.from_strings(snakemake.params.row),
        edxs=settings.Edxs(**snakemake.params.edxs),
        settings=settings.Factorize(**snakemake.params.factorize),
    )
