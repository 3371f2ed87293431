# SPDX-License-Identifier: GPL-3.0-or-later


rule find_rare_phases:
    """Pixels that hold more of an element than their phases."""
    input:
        store="results/{dataset}/spim.zarr",
        factorization="results/{dataset}/factorization.zarr.zip",
    output:
        "results/{dataset}/rare.zarr.zip",
    log:
        "logs/{dataset}/find_rare_phases.log",
    threads: 2
    resources:
        mem_mb=memory("find_rare_phases"),
        runtime=minutes("find_rare_phases"),
    params:
        factorize=section("factorize"),
    script:
        "../scripts/find_rare_phases.py"
