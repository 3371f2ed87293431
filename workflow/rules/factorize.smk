# SPDX-License-Identifier: GPL-3.0-or-later


rule factorize:
    """Phases, their compositions and abundance maps."""
    input:
        priors_files,
        store="results/{dataset}/spim.zarr",
        calibration="results/{dataset}/calibration.json",
        lowrank="results/{dataset}/lowrank.zarr.zip",
    output:
        "results/{dataset}/factorization.zarr.zip",
    log:
        "logs/{dataset}/factorize.log",
    threads: 2
    resources:
        mem_mb=memory("factorize"),
        runtime=minutes("factorize"),
    params:
        row=row("dataset", "path", "n_phases", "geometry"),
        priors=lambda wildcards: CAMPAIGN.priors_path(wildcards.dataset),
        edxs=section("edxs"),
        factorize=section("factorize"),
    script:
        "../scripts/factorize.py"
