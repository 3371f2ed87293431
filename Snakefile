# SPDX-License-Identifier: GPL-3.0-or-later
#
# The workflow: raw spectrum images in, quantified phases out.
#
#     snakemake --profile profiles/local --directory CAMPAIGN
#     snakemake --profile slurm --directory CAMPAIGN             after mlatem profile install slurm
#
# CAMPAIGN holds config/config.yaml and config/datasets.tsv; results are written beside them.

from snakemake.utils import min_version

min_version("9.0")


configfile: "config/config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/index.smk"


if CAMPAIGN.settings.workflow.datasets_per_job > 1:

    include: "workflow/rules/parts.smk"

elif CAMPAIGN.settings.workflow.jobs == "dataset":

    include: "workflow/rules/whole.smk"

else:

    include: "workflow/rules/prepare.smk"
    include: "workflow/rules/rare.smk"
    include: "workflow/rules/report.smk"

    if CAMPAIGN.settings.factorize.blocks == 1:

        include: "workflow/rules/factorize.smk"

    else:

        include: "workflow/rules/factorize_blocks.smk"


include: "workflow/rules/groups.smk"


rule all:
    default_target: True
    input:
        "results/index.html",
        "results/campaign.csv",
        "results/DONE.json",


onstart:
    begin_run()


onerror:
    write_index_of_failed_run()
