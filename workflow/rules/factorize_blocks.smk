# SPDX-License-Identifier: GPL-3.0-or-later
#
# Where factorize.blocks is more than 1: jobs on blocks of tiles, for very large maps. Blocks return
# sums, so their number changes nothing in the answer.


scattergather:
    block=CAMPAIGN.settings.factorize.blocks,


rule place_regions:
    """Plan how similar pixels are pooled."""
    input:
        store="results/{dataset}/spim.zarr",
        calibration="results/{dataset}/calibration.json",
        lowrank="results/{dataset}/lowrank.zarr.zip",
    output:
        "results/{dataset}/blocks/regions.npz",
    log:
        "logs/{dataset}/place_regions.log",
    threads: 2
    resources:
        mem_mb=memory("place_regions"),
        runtime=minutes("place_regions"),
    params:
        row=row("dataset", "path", "n_phases"),
        edxs=section("edxs"),
        factorize=section("factorize"),
    script:
        "../scripts/place_regions.py"


rule pool_regions:
    """Sum the spectra of similar pixels in one block of tiles.

    The sums are kept, so that other priors are a solve away.
    """
    input:
        priors_masks,
        store="results/{dataset}/spim.zarr",
        regions="results/{dataset}/blocks/regions.npz",
    output:
        "results/{dataset}/blocks/sums-{scatteritem}.npz",
    log:
        "logs/{dataset}/pool_regions-{scatteritem}.log",
    threads: 2
    resources:
        mem_mb=memory("pool_regions"),
        runtime=minutes("pool_regions"),
    params:
        places=priors_places,
    script:
        "../scripts/pool_regions.py"


rule solve_compositions:
    """Compositions of the phases from the pooled spectra of all blocks."""
    input:
        priors_files,
        store="results/{dataset}/spim.zarr",
        calibration="results/{dataset}/calibration.json",
        regions="results/{dataset}/blocks/regions.npz",
        sums=gather.block("results/{{dataset}}/blocks/sums-{scatteritem}.npz"),
    output:
        "results/{dataset}/compositions.npz",
    log:
        "logs/{dataset}/solve_compositions.log",
    threads: 2
    resources:
        mem_mb=memory("solve_compositions"),
        runtime=minutes("solve_compositions"),
    params:
        priors=lambda wildcards: CAMPAIGN.priors_path(wildcards.dataset),
        row=row("dataset", "path", "n_phases", "geometry"),
        edxs=section("edxs"),
        factorize=section("factorize"),
    script:
        "../scripts/solve_compositions.py"


rule fit_abundances:
    """Abundances of the phases in every pixel of one block of tiles."""
    input:
        store="results/{dataset}/spim.zarr",
        compositions="results/{dataset}/compositions.npz",
    output:
        temp("results/{dataset}/blocks/abundances-{scatteritem}.npz"),
    log:
        "logs/{dataset}/fit_abundances-{scatteritem}.log",
    threads: 2
    resources:
        mem_mb=memory("fit_abundances"),
        runtime=minutes("fit_abundances"),
    script:
        "../scripts/fit_abundances.py"


rule merge:
    """The blocks' abundances and the compositions as one factorisation."""
    input:
        store="results/{dataset}/spim.zarr",
        compositions="results/{dataset}/compositions.npz",
        abundances=gather.block(
            "results/{{dataset}}/blocks/abundances-{scatteritem}.npz"
        ),
    output:
        "results/{dataset}/factorization.zarr.zip",
    log:
        "logs/{dataset}/merge.log",
    resources:
        mem_mb=memory("merge"),
        runtime=minutes("merge"),
    script:
        "../scripts/merge.py"
