# SPDX-License-Identifier: GPL-3.0-or-later

from mlatem import settings
from mlatem.logs import to_file
from mlatem.sheet import DatasetRow
from mlatem.steps.blocks import place_regions
from mlatem.steps.factorize import factorize_settings
from mlatem.steps.spread import as_configured

with to_file(snakemake.log[0]), as_configured(snakemake.config, snakemake.threads):
    place_regions(
        snakemake.input.store,
        snakemake.input.calibration,
        snakemake.input.lowrank,
        regions=snakemake.output[0],
        edxs=settings.Edxs(**snakemake.params.edxs),
        settings=factorize_settings(
            DatasetRow.from_strings(snakemake.params.row),
            settings.Factorize(**snakemake.params.factorize),
        ),
        threads=snakemake.threads,
    )
