# SPDX-License-Identifier: GPL-3.0-or-later

from mlatem import settings, steps
from mlatem.logs import to_file

with to_file(snakemake.log[0]):
    steps.quantify(
        snakemake.input[0],
        table=snakemake.output.table,
        maps=snakemake.output.maps,
        dataset=snakemake.wildcards.dataset,
        settings=settings.Quantify(**snakemake.params.quantify),
    )
