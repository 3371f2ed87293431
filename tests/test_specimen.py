# SPDX-License-Identifier: GPL-3.0-or-later
from pathlib import Path

import pytest
from pydantic import ValidationError

from mlatem.errors import ConfigError
from mlatem.specimen import Simulate, load_specimen

EXAMPLES = Path(__file__).parents[1] / "examples"

GOOD = """
phases:
  - name: glass
    atomic_percent: {O: 66.7, Si: 33.3}
  - name: metal
    atomic_percent: {Fe: 100}
    shape: {kind: particles, number: 3}
"""


def load(folder, text):
    path = folder / "specimen.yaml"
    path.write_text(text, encoding="utf-8")
    return load_specimen(path)


@pytest.mark.parametrize("name", ["demo/specimen.yaml", "specimens/hard.yaml"])
def test_examples_load(name):
    specimen = load_specimen(EXAMPLES / name)
    assert len(specimen.phases) >= 4


def test_composition_is_normalized(tmp_path):
    specimen = load(tmp_path, GOOD.replace("66.7", "66.9"))
    assert sum(specimen.phases[0].composition.values()) == pytest.approx(1)
    assert specimen.elements == ("O", "Si", "Fe")


def test_settings_cannot_be_changed(tmp_path):
    with pytest.raises(ValidationError, match="frozen"):
        load(tmp_path, GOOD).seed = 3


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("O: 66.7", "O: 60", r"glass.*adds up to 93\.3, expected 100"),
        ("Fe: 100", "Fa: 100", r"phases\[metal\].*unknown element 'Fa'"),
        ("kind: particles", "kind: sphere", r"phases\[metal\]\.shape.*sphere"),
        ("number: 3", "numbers: 3", r"phases\[metal\]\.shape\.numbers: did you mean number\?"),
        ("number: 3", "number: -3", r"phases\[metal\]\.shape\.number: .*-3"),
        ("name: metal", "name: glass", "glass is named twice"),
        ("shape: {kind: particles, number: 3}", "", "'metal'.*has shape fill"),
        ("phases:", "thickness: {mean_nm: -5}\nphases:", r"thickness\.mean_nm: .*greater than 0"),
        ("phases:", "pixl_nm: 5\nphases:", "unknown key pixl_nm: did you mean pixel_nm?"),
        ("phases:", "pixel_nm: .nan\nphases:", "pixel_nm: .*finite"),
        ("phases:", "channel_ev: 0.01\nphases:", "ends below 1 keV"),
        ("phases:", "physics: {system_fraction: {Cv: 0.1}}\nphases:", "physics: .*'Cv'"),
        (GOOD, "phases: []", "phases: .*at least 1"),
        (GOOD, "seed: 3", "phases is missing"),
        (GOOD, "phases: [", "not valid YAML"),
        (GOOD, "", "expected keys such as `phases`"),
    ],
)
def test_bad_specimens(tmp_path, old, new, message):
    assert old in GOOD
    with pytest.raises(ConfigError, match=message) as caught:
        load(tmp_path, GOOD.replace(old, new))
    assert str(caught.value).startswith(str(tmp_path / "specimen.yaml"))
    assert "\n" not in str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        load_specimen(tmp_path / "specimen.yaml")


def test_one_specimen_in_python():
    specimen = Simulate(phases=({"name": "a", "atomic_percent": {"Fe": 100}},))
    assert specimen.physics.system_fraction == {"Cu": 0.02}
