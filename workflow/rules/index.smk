# SPDX-License-Identifier: GPL-3.0-or-later


rule index:
    """The campaign at a glance."""
    input:
        expand("results/{dataset}/DONE.json", dataset=DATASETS),
    output:
        "results/index.html",
        "results/campaign.csv",
        "results/DONE.json",
    log:
        "logs/index.log",
    benchmark:
        "logs/index.benchmark.tsv"
    params:
        rows=CAMPAIGN.rows,
        title=CAMPAIGN.settings.report.title,
    script:
        "../scripts/index.py"
