# SPDX-License-Identifier: GPL-3.0-or-later


rule quantify:
    """Atomic and weight percent of phases and pixels."""
    input:
        factorization="results/{dataset}/factorization.zarr.zip",
        calibration="results/{dataset}/calibration.json",
    output:
        table="results/{dataset}/phases.csv",
        maps="results/{dataset}/maps.zarr.zip",
    log:
        "logs/{dataset}/quantify.log",
    resources:
        mem_mb=memory("quantify"),
        runtime=minutes("quantify"),
    params:
        row=row("dataset", "path", "oxygen"),
        edxs=section("edxs"),
        quantify=section("quantify"),
    script:
        "../scripts/quantify.py"


rule report:
    """One page per dataset; DONE.json is written last."""
    input:
        store="results/{dataset}/spim.zarr",
        calibration="results/{dataset}/calibration.json",
        lowrank="results/{dataset}/lowrank.zarr.zip",
        factorization="results/{dataset}/factorization.zarr.zip",
        rare="results/{dataset}/rare.zarr.zip",
        table="results/{dataset}/phases.csv",
        maps="results/{dataset}/maps.zarr.zip",
    output:
        page="results/{dataset}/report.html",
        thumbnail="results/{dataset}/thumbnail.png",
        done="results/{dataset}/DONE.json",
    log:
        "logs/{dataset}/report.log",
    resources:
        mem_mb=memory("report"),
        runtime=minutes("report"),
    params:
        row=lambda wildcards: CAMPAIGN.rows[wildcards.dataset],
        settings=SETTINGS_OF_RESULTS,
    script:
        "../scripts/report.py"
