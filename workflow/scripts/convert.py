# SPDX-License-Identifier: GPL-3.0-or-later

from mlatem import settings, steps
from mlatem.logs import to_file
from mlatem.sheet import DatasetRow

with to_file(snakemake.log[0]):
    steps.convert(
        DatasetRow.from_strings(snakemake.params.row).path,
        snakemake.output[0],
        settings=settings.Convert(**snakemake.params.convert),
    )
