# SPDX-License-Identifier: GPL-3.0-or-later


rule convert:
    """Raw vendor file to a chunked store."""
    input:
        raw_files,
        mask_file,
    output:
        directory("results/{dataset}/spim.zarr"),
    log:
        "logs/{dataset}/convert.log",
    resources:
        mem_mb=memory("convert"),
        runtime=minutes("convert"),
    params:
        row=row("dataset", "path", "technique", *AXES_COLUMNS, *PIXEL_COLUMNS),
        mask=lambda wildcards: CAMPAIGN.mask_path(wildcards.dataset),
        convert=section("convert"),
        preprocess=section("preprocess"),
    script:
        "../scripts/convert.py"


rule calibrate:
    """Energy axis, detector resolution, mean composition and absorption."""
    input:
        factor_and_detector_files,
        store="results/{dataset}/spim.zarr",
    output:
        "results/{dataset}/calibration.json",
    log:
        "logs/{dataset}/calibrate.log",
    threads: 2
    resources:
        mem_mb=memory("calibrate"),
        runtime=minutes("calibrate"),
    params:
        row=row(
            "dataset",
            "path",
            "elements",
            "system_elements",
            *ACQUISITION_COLUMNS,
        ),
        factors=lambda wildcards: CAMPAIGN.factor_path(wildcards.dataset),
        edxs=section("edxs"),
        calibrate=section("calibrate"),
        identify=section("identify"),
    script:
        "../scripts/calibrate.py"


rule denoise:
    """Low-rank basis and scores: for seeds, rank and viewing."""
    input:
        store="results/{dataset}/spim.zarr",
        calibration="results/{dataset}/calibration.json",
    output:
        "results/{dataset}/lowrank.zarr.zip",
    log:
        "logs/{dataset}/denoise.log",
    threads: 2
    resources:
        mem_mb=memory("denoise"),
        runtime=minutes("denoise"),
    params:
        edxs=section("edxs"),
        denoise=section("denoise"),
    script:
        "../scripts/denoise.py"
