# SPDX-License-Identifier: GPL-3.0-or-later
#
# Which stages share a job of a cluster, where its profile groups them: jobs on blocks of a map stand
# between the stages before and after them.


for stage in workflow.rules:
    if stage.group is not None:
        stage.group = resources.shared_job(
            stage.name, blocks=CAMPAIGN.settings.factorize.blocks
        )
