# SPDX-License-Identifier: GPL-3.0-or-later

from mlatem import settings, steps
from mlatem.logs import to_file
from mlatem.sheet import DatasetRow

with to_file(snakemake.log[0]):
    steps.solve_compositions(
        snakemake.input.store,
        snakemake.input.calibration,
        snakemake.input.sums,
        compositions=snakemake.output[0],
        edxs=settings.Edxs(**snakemake.params.edxs),
        settings=steps.factorize_settings(
            DatasetRow.from_strings(snakemake.params.row),
            settings.Factorize(**snakemake.params.factorize),
        ),
    )
