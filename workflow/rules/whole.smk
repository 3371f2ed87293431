# SPDX-License-Identifier: GPL-3.0-or-later
#
# Where workflow.jobs is dataset: one job, and one process, for all stages of a dataset. For many
# small maps, whose stages take less time than the start of their jobs.


rule analyse:
    """From the raw files of a dataset to its page; DONE.json is written last."""
    input:
        raw_files,
        mask_file,
        factor_and_detector_files,
        priors_files,
    output:
        # Alone: what Snakemake keeps about each output is a file, too.
        "results/{dataset}/DONE.json",
    log:
        "logs/{dataset}/analyse.log",
    threads: 2
    resources:
        mem_mb=memory("analyse"),
        runtime=minutes("analyse"),
    params:
        row=lambda wildcards: CAMPAIGN.rows[wildcards.dataset],
        settings=SETTINGS_OF_RESULTS,
        factors=lambda wildcards: CAMPAIGN.factor_path(wildcards.dataset),
        priors=lambda wildcards: CAMPAIGN.priors_path(wildcards.dataset),
        mask=lambda wildcards: CAMPAIGN.mask_path(wildcards.dataset),
    script:
        "../scripts/analyse.py"
