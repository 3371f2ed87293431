# SPDX-License-Identifier: GPL-3.0-or-later

from mlatem import settings
from mlatem.logs import to_file
from mlatem.sheet import DatasetRow
from mlatem.steps.calibrate import calibrate
from mlatem.steps.spread import as_configured

with to_file(snakemake.log[0]), as_configured(snakemake.config, snakemake.threads):
    calibrate(
        snakemake.input.store,
        calibration=snakemake.output[0],
        row=DatasetRow.from_strings(snakemake.params.row),
        edxs=settings.Edxs(**snakemake.params.edxs),
        settings=settings.Calibrate(**snakemake.params.calibrate),
        factors=snakemake.params.factors,
        identify=settings.Identify(**snakemake.params.identify),
        threads=snakemake.threads,
    )
