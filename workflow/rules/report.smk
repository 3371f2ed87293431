# SPDX-License-Identifier: GPL-3.0-or-later


rule quantify:
    """Atomic and weight percent of phases and pixels."""
    input:
        factorization="results/{dataset}/factorization.zarr",
        calibration="results/{dataset}/calibration.json",
    output:
        table="results/{dataset}/phases.csv",
        maps=directory("results/{dataset}/maps.zarr"),
    log:
        "logs/{dataset}/quantify.log",
    benchmark:
        "logs/{dataset}/quantify.benchmark.tsv"
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
        lowrank="results/{dataset}/lowrank.zarr",
        factorization="results/{dataset}/factorization.zarr",
        rare="results/{dataset}/rare.zarr",
        table="results/{dataset}/phases.csv",
        maps="results/{dataset}/maps.zarr",
    output:
        page="results/{dataset}/report.html",
        figures=directory("results/{dataset}/figures"),
        done="results/{dataset}/DONE.json",
    log:
        "logs/{dataset}/report.log",
    benchmark:
        "logs/{dataset}/report.benchmark.tsv"
    resources:
        mem_mb=memory("report"),
        runtime=minutes("report"),
    params:
        row=lambda wildcards: CAMPAIGN.rows[wildcards.dataset],
        settings=SETTINGS_OF_RESULTS,
    script:
        "../scripts/report.py"
