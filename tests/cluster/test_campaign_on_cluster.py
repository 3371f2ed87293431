# SPDX-License-Identifier: GPL-3.0-or-later
"""Campaigns on a virtual SLURM, undisturbed and with every fault: the results are the same."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys

import faults
import pytest
from campaigns import ROOT
from differences import largest_difference
from virtual_slurm import wait_until

import mlatem
from mlatem.io.atomic import read_json
from mlatem.steps.status import status

#: Of the largest value of an array: sums over tiles may be added in another order, on other nodes
#: or with another number of threads; the libraries are the same here.
TOLERANCE = 1e-9
#: A machine that is busy with much else is slow, not wrong.
LONGEST_S = 1800.0
#: Minutes each, mostly of waiting for SLURM.
if_asked_for = pytest.mark.skipif(
    "MLATEM_CLUSTER_FAULTS" not in os.environ,
    reason="takes minutes: set MLATEM_CLUSTER_FAULTS=1 to run it",
)
JOB_FOR_EACH_DATASET = "workflow: {jobs: dataset}\n"


def check(campaign, reference, *names):
    """Every dataset is done, with the numbers of an undisturbed run, and nothing is left over."""
    assert read_json(campaign.folder / "results" / "DONE.json")["datasets"] == list(names)
    for name in names:
        assert largest_difference(campaign.results(name), reference) <= TOLERANCE, name
    assert list(campaign.folder.rglob("*.partial")) == []
    assert {outcome.state for outcome in status(campaign.folder).outcomes.values()} == {"done"}


@pytest.fixture(scope="module")
def undisturbed(make_campaign):
    """A campaign after an undisturbed run of the literal command, a job for the stages."""
    campaign = make_campaign("calm")
    campaign.run()
    return campaign


@pytest.fixture(scope="module")
def calm(undisturbed):
    """Results of a dataset whose analysis nothing disturbed."""
    return undisturbed.results("calm")


def test_the_literal_command_runs_a_campaign(undisturbed):
    assert read_json(undisturbed.folder / "results" / "DONE.json")["datasets"] == ["calm"]
    # The conversion, all stages after it as one, and the index.
    assert len(re.findall(r"submitted with SLURM jobid", undisturbed.printed())) == 3


def test_the_report_of_snakemake_needs_no_network(undisturbed, tmp_path):
    cut_off = ["unshare", "--net"]
    if os.geteuid() or subprocess.run([*cut_off, "true"], check=False).returncode:
        cut_off = []
    page = tmp_path / "report.html"
    command = [*cut_off, sys.executable, "-m", "snakemake", "--profile", "slurm"]
    run = subprocess.run(
        [*command, "--directory", str(undisturbed.folder), "--report", str(page)],
        cwd=ROOT,
        env=undisturbed.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    assert page.stat().st_size > 1e6


@if_asked_for
def test_faults_of_jobs_nodes_and_disks_leave_the_right_results(calm, make_campaign):
    """Over memory, over time, killed, a node lost and a full disk, each on a dataset."""
    names = ("memory", "time", "killed", "node", "disk")
    campaign = make_campaign(*names, settings=JOB_FOR_EACH_DATASET)
    # 300 MB are too little even for the engine; the second attempt gets what is needed.
    memory = 'analyse:mem_mb=1200 if wildcards.dataset != "memory" else 300 * attempt**2'
    minutes = 'analyse:runtime=60 if wildcards.dataset != "time" else attempt**4'
    with faults.small_disk(campaign.results("disk")) as has_disk:
        happening = [
            faults.stop(campaign, "time"),
            faults.kill(campaign, "killed"),
            faults.lose_node(campaign, "node"),
            *([faults.meet_full_disk(campaign, "disk")] if has_disk else []),
        ]
        run = campaign.start("--set-resources", memory, minutes)
        try:
            faults.happen(happening, run, seconds=LONGEST_S)
        finally:
            run.kill()
            run.wait()
        assert run.returncode == 0, campaign.printed()[-6000:]
        check(campaign, calm, *names)
    # Not for the lost node: SLURM puts its job back into the queue by itself.
    assert len(re.findall(r"Trying to restart job", campaign.printed())) >= 3 + has_disk
    assert "SLURM status is: 'TIMEOUT'" in campaign.printed()


@if_asked_for
def test_a_stage_that_is_killed_is_done_again_with_those_of_its_job(calm, make_campaign):
    campaign = make_campaign("map")
    run = campaign.start()
    try:
        faults.happen([faults.kill(campaign, "map", "factorize")], run, seconds=LONGEST_S)
        assert run.wait(LONGEST_S) == 0, campaign.printed()[-6000:]
    finally:
        run.kill()
        run.wait()
    assert "Trying to restart job" in campaign.printed()
    check(campaign, calm, "map")


def test_a_second_run_is_refused_and_a_killed_one_is_followed(calm, make_campaign):
    """Two runs on the same results, and two campaigns; then the first run dies.

    It does so when one dataset is finished and its job is not: SLURM's signal, by which the next
    run cancels it, must not make it take its results away. On one thread, where others have two.
    """
    campaign = make_campaign("first", "second", settings=JOB_FOR_EACH_DATASET)
    slurm = campaign.slurm
    one_thread = ("--set-threads", "analyse=1")
    run = campaign.start(*one_thread)
    wait_until(lambda: campaign.processes_of("first", faults.STEP), LONGEST_S, "the first job")
    job = campaign.job_of("first")
    slurm.suspend(job)
    assert_refused(campaign, run, make_campaign)
    assert "CANCELLED" not in {state for _, state, *_ in slurm.jobs("--states=all")}
    slurm.resume(job)
    wait_until((campaign.results("first") / "DONE.json").exists, LONGEST_S, "the first dataset")
    slurm.suspend(job)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    printed = campaign.run(*one_thread, seconds=LONGEST_S)
    assert f"Cancelled job {job} of an earlier run that was killed" in printed
    check(campaign, calm, "first", "second")


def assert_refused(campaign, run, make_campaign):
    """Neither the same campaign nor another may run on results that a run works on."""
    assert campaign.start(out="second.out").wait(LONGEST_S) != 0
    refusal = f"another run works on these results (process {run.pid} "
    assert refusal in campaign.printed("second.out")
    other = make_campaign("first", settings=JOB_FOR_EACH_DATASET)
    (other.folder / "results").symlink_to(campaign.folder / "results")
    assert other.start().wait(LONGEST_S) != 0
    assert f"these are the results of another campaign, {campaign.folder}" in other.printed()


@if_asked_for
def test_blocks_of_a_large_map_on_several_nodes_give_what_one_job_gives(make_campaign, tmp_path):
    """Four tiles in three blocks, after and before jobs on the whole map."""
    specimen = tmp_path / "tall.yaml"
    small = (ROOT / "examples" / "specimens" / "small.yaml").read_text()
    specimen.write_text(small.replace("n_rows: 32", "n_rows: 200"))
    mlatem.simulate(specimen, tmp_path, name="tall")
    whole = make_campaign("map", settings=JOB_FOR_EACH_DATASET, raw=tmp_path / "tall.hspy")
    whole.run(seconds=LONGEST_S)
    blocks = make_campaign("map", raw=tmp_path / "tall.hspy")
    settings = blocks.folder / "config" / "config.yaml"
    settings.write_text("factorize: {n_thinnings: 1, blocks: 3}\n")
    blocks.run(seconds=LONGEST_S)
    assert len(list((blocks.results("map") / "blocks").glob("sums-*-of-3.npz"))) == 3
    check(blocks, whole.results("map"), "map")
