# SPDX-License-Identifier: GPL-3.0-or-later
"""Campaigns on a virtual SLURM, undisturbed and with every fault: the results are the same."""

from __future__ import annotations

import os
import re
import signal

import pandas as pd
import pytest
from campaigns import node_of
from virtual_slurm import wait_until

from mlatem.io.atomic import read_json
from mlatem.steps.status import status

#: For numbers of the same inputs on different machines; here all have the same libraries.
TOLERANCE = 1e-6

#: Waits for time limits and lost nodes, and reacts to how fast jobs start: minutes each.
with_faults = pytest.mark.skipif(
    "MLATEM_CLUSTER_FAULTS" not in os.environ,
    reason="takes a quarter of an hour: set MLATEM_CLUSTER_FAULTS=1 to inject faults",
)


def check(campaign, reference, *names):
    """Every dataset is done, with the numbers of an undisturbed run, and nothing is left over."""
    assert read_json(campaign.folder / "results" / "DONE.json")["datasets"] == list(names)
    for name in names:
        found = campaign.table(name).drop(columns="dataset", errors="ignore")
        expected = reference.table("calm").drop(columns="dataset", errors="ignore")
        pd.testing.assert_frame_equal(found, expected, rtol=TOLERANCE)
    assert list(campaign.folder.rglob("*.partial")) == []
    assert {outcome.state for outcome in status(campaign.folder).outcomes.values()} == {"done"}


@pytest.fixture(scope="module")
def calm(make_campaign):
    """A campaign after an undisturbed run of the literal command."""
    campaign = make_campaign("calm")
    campaign.run()
    return campaign


def test_the_literal_command_runs_a_campaign(calm):
    assert read_json(calm.folder / "results" / "DONE.json")["datasets"] == ["calm"]
    assert calm.table("calm")["phase"].nunique() == 3
    # The conversion, all stages after it as one, and the index.
    assert len(re.findall(r"submitted with SLURM jobid", calm.printed())) == 3


@with_faults
def test_faults_of_jobs_and_nodes_leave_the_right_results(calm, make_campaign):
    """Over memory, over time, killed, and a node lost, each on a dataset, in one campaign."""
    names = ("heavy", "slow", "killed", "lost")
    campaign = make_campaign(*names)
    slurm = campaign.slurm
    # 250 MB are too little even for the engine; the second attempt gets what is needed.
    memory = 'convert:mem_mb=600 if wildcards.dataset != "heavy" else 250 * attempt**2'
    run = campaign.start("--set-resources", memory, "convert:runtime=attempt")
    try:
        os.kill(campaign.process_of("slow", "convert"), signal.SIGSTOP)
        os.kill(campaign.process_of("killed", "calibrate"), signal.SIGKILL)
        node = node_of(campaign.process_of("lost", "calibrate"))
        slurm.lose_node(node)
        wait_until(lambda: "down" in " ".join(slurm.states()), 90, "SLURM to miss the node")
        slurm.start_node(node)
        assert run.wait(1200) == 0, campaign.printed()[-6000:]
    finally:
        run.kill()
    check(campaign, calm, *names)
    assert len(re.findall(r"Trying to restart job", campaign.printed())) >= 3


@with_faults
def test_a_killed_controller_is_followed_by_a_run_that_finishes(calm, make_campaign):
    campaign = make_campaign("first", "second")
    run = campaign.start()
    campaign.process_of("first", "calibrate")
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    assert campaign.slurm.jobs()
    printed = campaign.run()
    assert "of an earlier run that was killed" in printed
    check(campaign, calm, "first", "second")
