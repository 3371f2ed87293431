# SPDX-License-Identifier: GPL-3.0-or-later
#
# Stages of a dataset that share one job of a cluster. Not said in a profile, since it depends on
# the campaign: the jobs on blocks of a map stand between the stages before and after them.


for stage in workflow.rules:
    stage.group = resources.shared_job(
        stage.name, blocks=CAMPAIGN.settings.factorize.blocks
    )
