# SPDX-License-Identifier: GPL-3.0-or-later
"""One run at a time, on results of one campaign."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from mlatem.campaign.claim import cancel_orphans, claim, is_running
from mlatem.errors import ConfigError, StoreError

HOLD = """
import sys, time
from pathlib import Path
from mlatem.campaign.claim import claim
held = claim(Path(sys.argv[1]), Path(sys.argv[2]))
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def campaign(tmp_path):
    folder = tmp_path / "one"
    (folder / "results").mkdir(parents=True)
    return folder


@pytest.fixture
def other_run(campaign):
    """Another process that runs the campaign."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(campaign / "results"), str(campaign)],
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_run_is_refused_and_told_by_whom(campaign, other_run):
    assert is_running(campaign / "results")
    with pytest.raises(ConfigError, match=f"another run works .*process {other_run.pid} on"):
        claim(campaign / "results", campaign)


def test_a_killed_run_leaves_no_lock(campaign, other_run):
    os.kill(other_run.pid, signal.SIGKILL)
    other_run.wait()
    assert not is_running(campaign / "results")
    claim(campaign / "results", campaign).release()


def test_a_run_may_follow_another(campaign):
    claim(campaign / "results", campaign).release()
    claim(campaign / "results", campaign).release()
    assert not is_running(campaign / "results")


def test_results_of_another_campaign_are_refused(campaign, tmp_path):
    claim(campaign / "results", campaign).release()
    other = tmp_path / "two"
    other.mkdir()
    (other / "results").symlink_to(campaign / "results")
    with pytest.raises(ConfigError, match=f"results of another campaign, {campaign}"):
        claim(other / "results", other)


def test_a_campaign_that_moved_keeps_its_results(campaign, tmp_path):
    claim(campaign / "results", campaign).release()
    moved = campaign.rename(tmp_path / "moved")
    claim(moved / "results", moved).release()


def test_a_copy_of_a_campaign_has_results_of_its_own(campaign, tmp_path):
    claim(campaign / "results", campaign).release()
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", campaign, copy], check=True)
    claim(copy / "results", copy).release()


def test_results_that_cannot_be_written_are_named(tmp_path):
    (tmp_path / "results").write_text("a file")
    with pytest.raises(StoreError, match="results cannot be written there"):
        claim(tmp_path / "results", tmp_path)


def test_a_folder_without_results_is_not_running(tmp_path):
    assert not is_running(tmp_path / "results")


def test_orphans_of_earlier_runs_alone_are_cancelled(tmp_path, monkeypatch):
    logs = tmp_path / "log"
    logs.mkdir()
    (logs / "1.log").write_text("host: x\nSLURM run ID: 1111-aa\nmore\n")
    programs = tmp_path / "bin"
    programs.mkdir()
    scripts = {
        # Job 7 belongs to the campaign; once it is cancelled it is gone.
        "squeue": f"test -e {tmp_path}/cancelled || echo '7|1111-aa'\necho '8|2222-bb'",
        "scancel": f'echo "$@" > {tmp_path}/cancelled',
    }
    for name, text in scripts.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    assert cancel_orphans(logs) == ["7"]
    assert (tmp_path / "cancelled").read_text() == "7\n"


def test_without_a_cluster_there_are_no_orphans(tmp_path, monkeypatch):
    (tmp_path / "1.log").write_text("SLURM run ID: 1111-aa\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cancel_orphans(tmp_path) == []
