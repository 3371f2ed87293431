# SPDX-License-Identifier: GPL-3.0-or-later
#
# Stages of a dataset that share one job of a cluster. Not said in a profile, since it depends on
# the campaign: the jobs on blocks of a map stand between the stages before and after them.


def group_stages():
    for stage in workflow.rules:
        stage.group = resources.shared_job(
            stage.name, blocks=CAMPAIGN.settings.factorize.blocks
        )


# Only where jobs are counted and not cores: on one machine stages share nothing.
if workflow.resource_settings.nodes is not None:
    group_stages()
