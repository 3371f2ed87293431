# SPDX-License-Identifier: GPL-3.0-or-later

from mlatem import api, settings
from mlatem.logs import to_file
from mlatem.sheet import DatasetRow
from mlatem.steps.blocks import solve_compositions
from mlatem.steps.factorize import factorize_settings
from mlatem.steps.spread import as_configured

with to_file(snakemake.log[0]), as_configured(snakemake.config, snakemake.threads):
    path = snakemake.params.priors
    priors = None if path is None else api.load_priors(path)
    solve_compositions(
        snakemake.input.store,
        snakemake.input.calibration,
        snakemake.input.regions,
        snakemake.input.sums,
        compositions=snakemake.output[0],
        edxs=settings.Edxs(**snakemake.params.edxs),
        settings=factorize_settings(
            DatasetRow.from_strings(snakemake.params.row),
            settings.Factorize(**snakemake.params.factorize),
            priors,
        ),
        priors=priors,
        threads=snakemake.threads,
    )
