# SPDX-License-Identifier: GPL-3.0-or-later

from mlatem import settings
from mlatem.logs import to_file
from mlatem.steps.denoise import denoise
from mlatem.steps.spread import as_configured

with to_file(snakemake.log[0]), as_configured(snakemake.config, snakemake.threads):
    denoise(
        snakemake.input.store,
        snakemake.input.calibration,
        lowrank=snakemake.output[0],
        edxs=settings.Edxs(**snakemake.params.edxs),
        settings=settings.Denoise(**snakemake.params.denoise),
        threads=snakemake.threads,
    )
