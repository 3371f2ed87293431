# SPDX-License-Identifier: GPL-3.0-or-later

from mlatem import settings
from mlatem.logs import to_file
from mlatem.steps.rare_phases import find_rare_phases
from mlatem.steps.spread import as_configured

with to_file(snakemake.log[0]), as_configured(snakemake.config, snakemake.threads):
    find_rare_phases(
        snakemake.input.store,
        snakemake.input.factorization,
        rare=snakemake.output[0],
        settings=settings.Factorize(**snakemake.params.factorize),
        threads=snakemake.threads,
    )
