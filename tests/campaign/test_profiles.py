# SPDX-License-Identifier: GPL-3.0-or-later
"""Profiles for clusters and their installation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from mlatem.campaign.profiles import SlurmOptions, install, slurm_profile, user_folder
from mlatem.campaign.resources import GROUPED, RULES, shared_job
from mlatem.cli import app
from mlatem.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]


def load(options: SlurmOptions) -> dict:
    return yaml.safe_load(slurm_profile(options))


def test_partition_and_account_are_asked_for():
    found = load(SlurmOptions(partition="short", account="mlatem", status_command="squeue"))
    assert found["default-resources"]["slurm_partition"] == "short"
    assert found["default-resources"]["slurm_account"] == "mlatem"
    assert found["slurm-status-command"] == "squeue"
    assert "slurm-no-account" not in found


def test_without_them_the_cluster_decides():
    found = load(SlurmOptions())
    assert found["executor"] == "slurm"
    assert not {"slurm_partition", "slurm_account"} & set(found["default-resources"])
    assert found["slurm-no-account"] is True
    assert "slurm-status-command" not in found


def test_failures_are_retried_by_the_profile_and_by_no_rule():
    assert load(SlurmOptions())["retries"] >= 1
    for path in (ROOT / "workflow" / "rules").glob("*.smk"):
        assert not re.search(r"^\s*retries:", path.read_text(encoding="utf-8"), flags=re.MULTILINE)


def test_every_rule_of_a_dataset_asks_for_memory_and_time():
    for path in (ROOT / "workflow" / "rules").glob("*.smk"):
        text = path.read_text(encoding="utf-8")
        for rule in re.findall(r"^rule (\w+):", text, flags=re.MULTILINE):
            if rule == "index":
                continue  # asks for the profile's default
            if rule == "analyse_part":  # by the sizes of several datasets
                assert "mem_mb=part_memory," in text
                assert "runtime=part_minutes," in text
                continue
            assert rule in RULES
            assert f'mem_mb=memory("{rule}")' in text
            assert f'runtime=minutes("{rule}")' in text


def test_rules_that_share_a_job_exist():
    text = "".join(p.read_text("utf-8") for p in (ROOT / "workflow" / "rules").glob("*.smk"))
    for rule in GROUPED:
        assert f"rule {rule}:" in text
        assert shared_job(rule) == "analysis"


def test_jobs_on_blocks_stand_between_those_of_the_stages():
    assert shared_job("calibrate", blocks=4) == shared_job("denoise", blocks=4) == "analysis"
    assert shared_job("quantify", blocks=4) == shared_job("report", blocks=4) == "results"
    assert shared_job("fit_abundances", blocks=4) is shared_job("convert") is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"partition": "short; rm"}, "expected a name of letters"),
        ({"account": ""}, "expected a name of letters"),
        ({"status_command": "qstat"}, "expected sacct or squeue"),
        ({"n_jobs": 0}, "expected at least 1"),
    ],
)
def test_bad_options_are_refused(options, words):
    with pytest.raises(ConfigError, match=words):
        SlurmOptions(**options)


def test_the_folder_is_that_of_snakemake(tmp_path):
    assert user_folder({"XDG_CONFIG_HOME": str(tmp_path)}) == tmp_path / "snakemake"
    assert user_folder({}) == Path.home() / ".config" / "snakemake"
    assert user_folder({"XDG_CONFIG_HOME": ""}) == Path.home() / ".config" / "snakemake"


def test_a_profile_that_differs_is_kept_unless_forced(tmp_path):
    path = install("slurm", SlurmOptions(partition="short"), folder=tmp_path)
    assert path == tmp_path / "slurm" / "config.yaml"
    assert install("slurm", SlurmOptions(partition="short"), folder=tmp_path) == path
    with pytest.raises(ConfigError, match="--force"):
        install("slurm", SlurmOptions(partition="long"), folder=tmp_path)
    assert "short" in path.read_text()
    install("slurm", SlurmOptions(partition="long"), folder=tmp_path, force=True)
    assert "slurm_partition: long" in path.read_text()


def test_a_name_that_leaves_the_folder_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"profile '\.\./x'"):
        install("../x", SlurmOptions(), folder=tmp_path)


def test_the_command_says_what_it_wrote(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    command = ["profile", "install", "slurm", "--partition", "short", "--account", "mlatem"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0
    assert f"wrote {tmp_path}/snakemake/slurm/config.yaml" in result.output
    assert "snakemake --profile slurm" in result.output
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install 'mlatem[slurm]'" in CliRunner().invoke(app, command).output
    again = CliRunner().invoke(app, [*command, "--jobs", "7"])
    assert again.exit_code == 1
    assert "--force" in again.output
