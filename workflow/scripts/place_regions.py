# SPDX-License-Identifier: GPL-3.0-or-later

from mlatem import settings
from mlatem.logs import to_file
from mlatem.sheet import DatasetRow
from mlatem.steps.factorize import factorize_settings, place_regions

with to_file(snakemake.log[0]):
    place_regions(
        snakemake.input.store,
        snakemake.input.lowrank,
        regions=snakemake.output[0],
        settings=factorize_settings(
            DatasetRow.from_strings(snakemake.params.row),
            settings.Factorize(**snakemake.params.factorize),
        ),
        threads=snakemake.threads,
    )
