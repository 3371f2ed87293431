# SPDX-License-Identifier: GPL-3.0-or-later

from mlatem import settings
from mlatem.logs import to_file
from mlatem.sheet import DatasetRow
from mlatem.steps.convert import convert

with to_file(snakemake.log[0]):
    convert(
        DatasetRow.from_strings(snakemake.params.row).path,
        snakemake.output[0],
        settings=settings.Convert(**snakemake.params.convert),
    )
