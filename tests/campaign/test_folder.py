# SPDX-License-Identifier: GPL-3.0-or-later
"""Loading of campaigns."""

from __future__ import annotations

import pytest

from mlatem.campaign import folder as campaign
from mlatem.errors import ConfigError


@pytest.fixture
def folder(tmp_path):
    config = tmp_path / "config"
    config.mkdir()
    (config / "config.yaml").write_text("factorize:\n  seed: 3\n")
    (config / "datasets.tsv").write_text(
        "dataset\tpath\telements\na\traw/a.emd\tO,Ti\nb\traw/b1.rpl;raw/b2.emd\t\n"
    )
    return tmp_path


def test_settings_and_rows_come_from_the_folder(folder):
    loaded = campaign.load_folder(folder)
    assert loaded.settings.factorize.seed == 3
    assert list(loaded.rows) == ["a", "b"]
    assert loaded.cells("a", ["elements", "thickness_nm"]) == {"elements": "O,Ti"}


def test_paths_are_relative_to_the_folder_and_may_be_several(folder):
    loaded = campaign.load_folder(folder)
    assert loaded.raw_paths("b") == [str(folder / "raw/b1.rpl"), str(folder / "raw/b2.emd")]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("factorize:\n  n_phase: 3\n", r"factorize\.n_phase: did you mean n_phases"),
        ("factorise:\n  seed: 3\n", "factorise: did you mean factorize"),
        ("edxs:\n  energy_min_kev: 5\n  energy_max_kev: 1\n", "must lie above"),
        ("factorize: [\n", "not valid YAML"),
        ("factorize: 1\n  seed: 3\n", "correct the marked place$"),
        ("just text", "expected keys with values"),
        ("factorize:\n  blocks: 0\n", r"factorize\.blocks"),
    ],
)
def test_a_bad_configuration_is_named(folder, text, named):
    (folder / "config" / "config.yaml").write_text(text)
    with pytest.raises(ConfigError, match=named):
        campaign.load_folder(folder)


def test_a_configuration_that_is_no_text_is_named(folder):
    (folder / "config" / "config.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"config\.yaml cannot be read"):
        campaign.load_folder(folder)
    with pytest.raises(ConfigError, match=r"config\.yaml cannot be read"):
        campaign.load_folder(folder / "config" / "datasets.tsv")


def test_a_missing_configuration_says_how_to_start(tmp_path):
    with pytest.raises(ConfigError, match="mlatem init"):
        campaign.load_folder(tmp_path)


def test_a_bad_row_is_no_error_of_the_campaign(folder):
    (folder / "config" / "datasets.tsv").write_text("dataset\tpath\telements\na\tx.emd\tXx\n")
    assert campaign.load_folder(folder).cells("a", ["elements"]) == {"elements": "Xx"}
