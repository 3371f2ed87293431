# SPDX-License-Identifier: GPL-3.0-or-later


rule index:
    """The campaign at a glance."""
    input:
        MARKS,
    output:
        "results/index.html",
        "results/campaign.csv",
        "results/DONE.json",
    log:
        "logs/index.log",
    params:
        rows=CAMPAIGN.rows,
        title=CAMPAIGN.settings.report.title,
    script:
        "../scripts/index.py"
