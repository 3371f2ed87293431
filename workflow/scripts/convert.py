# SPDX-License-Identifier: GPL-3.0-or-later

from mlatem import settings
from mlatem.logs import to_file
from mlatem.sheet import DatasetRow
from mlatem.steps.convert import convert

with to_file(snakemake.log[0]):
    row = DatasetRow.from_strings(snakemake.params.row)
    convert(
        row.path,
        snakemake.output[0],
        acquisition_overrides=row.axes,
        settings=settings.with_frames(settings.Convert(**snakemake.params.convert), row.frames),
        preprocess=settings.with_crop(settings.Preprocess(**snakemake.params.preprocess), row.crop),
        mask=snakemake.params.mask,
    )
