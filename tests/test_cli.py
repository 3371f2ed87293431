# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line, from a simulation to a page."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner, Result

import mlatem
from mlatem.campaign.schema import generated_files
from mlatem.cli import app
from mlatem.io.atomic import read_json

ROOT = Path(__file__).resolve().parents[1]
SPECIMEN = ROOT / "examples" / "specimens" / "small.yaml"
PROGRAM = str(Path(sys.executable).with_name("mlatem"))
COMMANDS = [
    "info",
    "convert",
    "export",
    "identify",
    "factors",
    "calibrate-factors",
    "calibrate",
    "denoise",
    "factorize",
    "find-rare-phases",
    "quantify",
    "report",
    "simulate",
    "check",
    "init",
    "schema",
    "status",
    "ingest",
    "warm-up",
    "profile",
]


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def succeed(*arguments: object) -> str:
    result = call(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def assert_one_line_error(result: Result, *named: str) -> None:
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    for words in named:
        assert words in result.stderr


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    printed = succeed("simulate", SPECIMEN, folder, "--name", "map", "--seed", 4)
    assert printed.count("wrote ") == 4
    return folder


@pytest.fixture(scope="module")
def results(raw, tmp_path_factory) -> Path:
    """Results of one dataset, made command by command, up to the page."""
    folder = tmp_path_factory.mktemp("results") / "map"
    names = ("spim.zarr", "calibration.json", "lowrank.zarr", "factorization.zarr")
    store, calibration, lowrank, factorization = (folder / name for name in names)
    succeed("convert", raw / "map.hspy", store)
    succeed("calibrate", store, calibration, "-e", "O,Si,Ti,Fe", "--thickness-nm", 40)
    succeed("denoise", store, calibration, lowrank)
    succeed("factorize", store, calibration, lowrank, factorization, "-k", 3, "-j", 2)
    printed = succeed("find-rare-phases", store, factorization, folder / "rare.zarr")
    assert printed.splitlines()[-1].endswith("rare.zarr")
    printed = succeed(
        "quantify", factorization, calibration, folder / "phases.csv", folder / "maps.zarr"
    )
    assert all(element in printed for element in ("O", "Si", "Ti", "Fe"))
    succeed("report", folder)
    return folder


def test_identify_lists_elements_of_store_and_file(results, raw):
    for path in (results / "spim.zarr", raw / "map.hspy"):
        printed = succeed("identify", path)
        assert printed.splitlines()[-1].startswith("elements: ")
        assert {"O", "Si", "Ti", "Fe"} & set(printed.split()[-1].split(","))


def test_every_command_is_tested_here():
    names = [command.callback.__name__.replace("_", "-") for command in app.registered_commands]
    names += [str(group.name) for group in app.registered_groups]
    assert sorted(names) == sorted(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command(command):
    for option in ("--help", "-h"):
        printed = succeed(command, option)
        assert f"mlatem {command}" in printed or f"{command} [OPTIONS]" in printed


def test_help_of_the_program():
    printed = succeed("--help")
    assert all(command in printed for command in COMMANDS)


def test_phases_come_back(results, raw):
    found = pd.read_csv(results / "phases.csv")
    found = found.pivot_table(index="phase", columns="element", values="atomic_percent")
    truth = pd.read_csv(raw / "map_truth.csv")
    truth = truth.pivot_table(index="phase", columns="element", values="atomic_percent").fillna(0)
    assert len(found) == 3
    for _, composition in truth.iterrows():
        assert (found[composition.index] - composition).abs().mean(axis=1).min() < 2.0


def test_the_page_is_written(results):
    page = (results / "report.html").read_text(encoding="utf-8")
    assert page.lstrip().startswith("<!")
    assert "map" in page
    done = read_json(results / "DONE.json")
    assert done["dataset"] == "map"
    assert done["n_phases"] == 3
    assert list(results.parent.rglob("*.partial")) == []


def test_info_of_a_raw_file_and_of_a_store(raw, results):
    for path in (raw / "map.hspy", results / "spim.zarr"):
        printed = succeed("info", path)
        assert path.name in printed
        assert "200" in printed
        description = json.loads(succeed("info", path, "--json"))
        assert description["path"] == str(path)
        signal = description["signals"][0]
        assert signal["acquisition"]["beam_energy_kev"] == {"value": 200.0, "origin": "file"}


def test_export_goes_back_to_a_raw_file(results, tmp_path):
    out = tmp_path / "out.hspy"
    assert succeed("export", results / "spim.zarr", out) == f"wrote {out}\n"
    before, after = mlatem.open(results / "spim.zarr")["edxs"], mlatem.read(out)["edxs"]
    assert after.to_dataset().equals(before.to_dataset())
    assert after.attrs == before.attrs


def test_verbose_logs_to_stderr(raw, tmp_path):
    arguments = ["--verbose", "convert", str(raw / "map.hspy"), str(tmp_path / "spim.zarr")]
    done = subprocess.run(
        [PROGRAM, *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "mlatem.io.store: wrote" in done.stderr
    assert done.stdout == f"wrote {tmp_path / 'spim.zarr'}\n"


def test_simulate_is_reproducible(raw, tmp_path):
    succeed("simulate", SPECIMEN, tmp_path, "--name", "map", "--seed", 4)
    first, second = mlatem.open(raw / "map.zarr"), mlatem.open(tmp_path / "map.zarr")
    assert first["edxs"]["counts"].equals(second["edxs"]["counts"])


def test_init_starts_a_campaign_once(tmp_path):
    succeed("init", tmp_path / "campaign")
    assert_one_line_error(call("init", tmp_path / "campaign"), "config.yaml exists")
    config = tmp_path / "campaign" / "config" / "config.yaml"
    assert yaml.safe_load(config.read_text())["factorize"]["n_phases"] == "auto"


def test_check_of_a_good_campaign(raw, tmp_path):
    write_campaign(tmp_path, f"map\t{raw / 'map.hspy'}\tO,Si,Ti,Fe\t3\n")
    assert "in order" in succeed("check", tmp_path)


def test_check_names_every_problem(raw, tmp_path):
    good = (raw / "map.hspy").read_bytes()
    (tmp_path / "cut.hspy").write_bytes(good[: len(good) // 2])
    write_campaign(
        tmp_path,
        f"good\t{raw / 'map.hspy'}\tO,Si\t3\n"
        "lost\traw/lost.emd\tO\t\n"
        "cut\tcut.hspy\tO\t\n"
        f"odd\t{raw / 'map.hspy'}\tO,Xx\t\n"
        f"none\t{raw / 'map.hspy'}\t\t\n"
        f"many\t{raw / 'map.hspy'}\tO\tlots\n",
    )
    result = call("check", tmp_path)
    assert result.exit_code == 1
    lines = result.stderr.splitlines()
    assert [line.split(":")[0] for line in lines] == ["lost", "cut", "odd", "many"]
    for line, words in zip(lines, ["lost.emd", "cut.hspy", "Xx", "n_phases"], strict=True):
        assert words in line
    assert "none: the column elements is empty: they will be identified" in result.stdout


def test_check_tells_what_is_assumed_and_what_is_needed(raw, tmp_path):
    write_campaign(tmp_path, f"map\t{raw / 'map.hspy'}\tO,Si,Ti,Fe\t3\n")
    printed = succeed("check", tmp_path).splitlines()
    assert len(printed) == 4
    assert printed[0].startswith("map: the specimen's thickness is not known")
    assert "thickness_nm" in printed[0]
    assert "the dose is not known" in printed[1]
    assert "GB of memory" in printed[2]
    assert "an estimate" in printed[2]
    assert "in order" in printed[3]


def test_check_of_a_store(results, tmp_path):
    store = tmp_path / "spim.zarr"
    shutil.copytree(results / "spim.zarr", store)
    assert "counts were not read" in succeed("check", store)
    printed = succeed("check", store, "--deep")
    assert printed.endswith("\nthe store is in order\n")
    assert "thickness_nm" in printed
    shutil.rmtree(store / "edxs" / "counts" / "c")
    result = call("check", store)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("edxs: ")


@pytest.mark.parametrize(
    ("config", "sheet", "named"),
    [
        ("factorize:\n  n_phase: 3\n", "", "did you mean n_phases"),
        ("factorize: [\n", "", "not valid YAML"),
        ("", "a\tx.emd\tO\t\na\ty.emd\tO\t\n", "a is named twice"),
    ],
)
def test_check_names_a_bad_configuration(tmp_path, config, sheet, named):
    write_campaign(tmp_path, sheet or "a\tx.emd\tO\t\n", config)
    result = call("check", tmp_path)
    assert result.exit_code == 1
    assert named in result.stderr
    assert "Traceback" not in result.stderr


def test_check_of_a_folder_that_is_no_campaign(tmp_path):
    result = call("check", tmp_path)
    assert result.exit_code == 1
    assert "mlatem init" in result.stderr


def test_schema_regenerates_the_repository_files(tmp_path):
    succeed("schema", tmp_path)
    for name, text in generated_files().items():
        assert (tmp_path / name).read_text(encoding="utf-8") == text


def write_campaign(folder: Path, rows: str, config: str = "") -> None:
    (folder / "config").mkdir()
    (folder / "config" / "config.yaml").write_text(config)
    head = "dataset\tpath\telements\tn_phases\n"
    (folder / "config" / "datasets.tsv").write_text(head + rows)


def test_wrong_files_end_in_one_line(raw, results, tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("no spectrum image\n")
    store, calibration = results / "spim.zarr", results / "calibration.json"
    lowrank, out = results / "lowrank.zarr", tmp_path / "out"
    elements = ["-e", "O,Si"]
    for arguments, named in [
        (["info", tmp_path / "lost.emd"], "lost.emd"),
        (["info", text], "notes.txt"),
        (["convert", tmp_path / "lost.emd", out], "lost.emd"),
        (["convert", text, out], "notes.txt"),
        (["convert", raw / "map.hspy", out, "--memory-limit-gb", 1e-6], "memory_limit_gb"),
        (["export", tmp_path / "lost.zarr", tmp_path / "out.hspy"], "lost.zarr"),
        (["export", results / "spim.zarr", out], "hspy"),
        (["calibrate", tmp_path / "lost.zarr", out, *elements], "lost.zarr"),
        (["calibrate", raw / "map.hspy", out, *elements], "map.hspy"),
        (["calibrate", store, out, "-e", "O,Xx"], "Xx"),
        (["calibrate", store, out, *elements, "--thickness-nm", -1], "thickness_nm"),
        (["denoise", store, text, out], "notes.txt"),
        (["denoise", lowrank, calibration, out], "lowrank.zarr"),
        (["factorize", store, calibration, store, out], "spim.zarr"),
        (["factorize", store, calibration, lowrank, out, "-k", "many"], "n_phases"),
        (["factorize", store, calibration, lowrank, out, "-k", 0], "n_phases"),
        (["factorize", store, calibration, lowrank, out, "-k", 40], "n_phases is 40"),
        (["find-rare-phases", store, lowrank, out], "lowrank.zarr"),
        (["quantify", lowrank, calibration, out, out], "lowrank.zarr"),
        (["quantify", results / "lost.zarr", calibration, out, out], "lost.zarr"),
        (["report", tmp_path], "spim.zarr"),
        (["simulate", tmp_path / "lost.yaml", out], "lost.yaml"),
        (["simulate", text, out], "notes.txt"),
    ]:
        assert_one_line_error(call(*arguments), named)
        assert not out.exists(), arguments


def test_nothing_of_the_user_is_replaced(raw, results, tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    map_file = folder / "map.hspy"
    map_file.write_bytes((raw / "map.hspy").read_bytes())
    before = map_file.read_bytes()
    store, calibration = results / "spim.zarr", results / "calibration.json"
    for arguments in (
        ["convert", map_file, folder],
        ["convert", map_file, map_file],
        ["convert", map_file, map_file / "spim.zarr"],
        ["export", store, map_file],
        ["calibrate", store, folder, "-e", "O,Si,Ti,Fe"],
        ["denoise", store, calibration, folder],
        ["denoise", store, calibration, map_file],
        ["init", map_file],
        ["simulate", SPECIMEN, map_file],
    ):
        result = call(*arguments)
        assert_one_line_error(result, "project")
    assert map_file.read_bytes() == before
    assert list(tmp_path.rglob("*")) == [folder, map_file]


def test_files_may_have_any_name(raw, tmp_path):
    store, calibration = tmp_path / "my map (2).zarr", tmp_path / "größe.json"
    succeed("convert", raw / "map.hspy", store)
    succeed("calibrate", store, calibration, "-e", "O, Si, Ti, Fe")
    assert read_json(calibration)["elements"] == ["O", "Si", "Ti", "Fe"]


def test_a_page_is_written_again_in_a_folder_of_any_name(results, tmp_path):
    for name in ("with summary", "(without)"):
        shutil.copytree(results, tmp_path / name)
    (tmp_path / "(without)" / "DONE.json").unlink()
    for folder in tmp_path.iterdir():
        (folder / "report.html").unlink()
        succeed("report", folder)
        assert (folder / "report.html").is_file()
    assert read_json(tmp_path / "with summary" / "DONE.json")["dataset"] == "map"
    assert read_json(tmp_path / "(without)" / "DONE.json")["dataset"] == "without-"


def test_a_damaged_result_is_named_by_the_report(results, tmp_path):
    for name in ("spim.zarr", "lowrank.zarr", "factorization.zarr", "maps.zarr", "rare.zarr"):
        (tmp_path / name).symlink_to(results / name)
    (tmp_path / "calibration.json").write_bytes((results / "calibration.json").read_bytes())
    assert_one_line_error(call("report", tmp_path), "phases.csv")
    (tmp_path / "phases.csv").write_text("phase,element\n1,O\n")
    assert_one_line_error(call("report", tmp_path), "phases.csv")
    (tmp_path / "phases.csv").write_text("")
    assert_one_line_error(call("report", tmp_path), "phases.csv")
    (tmp_path / "phases.csv").write_bytes((results / "phases.csv").read_bytes())
    (tmp_path / "maps.zarr").unlink()
    assert_one_line_error(call("report", tmp_path), "maps.zarr")
    (tmp_path / "maps.zarr").symlink_to(results / "lowrank.zarr")
    assert_one_line_error(call("report", tmp_path), "maps.zarr")
    (tmp_path / "maps.zarr").unlink()
    (tmp_path / "maps.zarr").symlink_to(results / "maps.zarr")
    (tmp_path / "rare.zarr").unlink()
    assert_one_line_error(call("report", tmp_path), "rare.zarr")
    assert not (tmp_path / "report.html").exists()


def test_no_traceback_from_the_installed_program(tmp_path):
    done = subprocess.run(
        [PROGRAM, "info", str(tmp_path / "lost.emd")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


def test_misspelt_commands_are_refused():
    result = call("factorise")
    assert result.exit_code == 2
    assert "factorise" in result.stderr


@pytest.fixture(autouse=True)
def _quiet_logging():
    """Handlers that a command adds do not outlive it."""
    root = logging.getLogger()
    before = list(root.handlers)
    yield
    root.handlers[:] = before


def test_simulate_writes_into_its_folder_only(tmp_path):
    result = CliRunner().invoke(
        app, ["simulate", str(SPECIMEN), str(tmp_path / "out"), "--name", "../escaped"]
    )
    assert result.exit_code == 1
    assert "without folders" in result.output
    assert list(tmp_path.iterdir()) == []


def test_info_reads_like_a_page(raw):
    printed = succeed("info", raw / "map.hspy")
    lines = [line.strip("│├└─ ") for line in printed.splitlines()]
    assert any(line.startswith("versions: python") for line in lines)
    assert "map.hspy" in lines[lines.index("source") + 1 :]
    assert not any(line.endswith(":") and line != "path:" for line in lines)


def test_convert_refuses_frames_that_the_file_does_not_have(raw, tmp_path):
    result = call("convert", raw / "map.hspy", tmp_path / "s.zarr", "--first-frame", "2")
    assert result.exit_code == 1
    assert "does not tell its frames apart" in " ".join(result.stderr.split())
