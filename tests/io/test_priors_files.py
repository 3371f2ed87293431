# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest

from mlatem.errors import ConfigError
from mlatem.io.priors import files_of, places_of, read_priors

SHARED = """
phases:
  titania: {present: [Ti, O], ratios: {O/Ti: 2}}
  metal: {spectrum: {file: metal.csv}}
"""
PRIORS = """
library: shared/phases.yaml
regions:
  rim: {mask: rim.npy}
phases:
  grain: {like: titania, absent: [Ca]}
  wire: {like: metal, regions: {only_in: rim, not_in: [{y: [0, 2], x: [0, 3]}]}}
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "phases.yaml").write_text(SHARED)
    (tmp_path / "shared" / "metal.csv").write_text("# Fe\nenergy_kev,counts\n0.5,3\n0.6,4\n")
    np.save(tmp_path / "rim.npy", np.eye(3))
    (tmp_path / "priors.yaml").write_text(PRIORS)
    return tmp_path


def test_everything_that_a_file_names_is_read(folder):
    priors = read_priors(folder / "priors.yaml")
    assert priors.phases["grain"].absent == ("Ca",)
    assert priors.phases["grain"].ratios["O/Ti"].value == 2
    assert priors.phases["wire"].spectrum.counts == (3.0, 4.0)
    assert priors.phases["wire"].spectrum.energy_kev == (0.5, 0.6)
    assert np.array_equal(priors.regions["rim"].mask, np.eye(3))
    assert priors.library == ()


def test_files_on_which_the_priors_depend(folder):
    assert files_of(folder / "priors.yaml") == [
        str(folder / name)
        for name in ("priors.yaml", "shared/phases.yaml", "shared/metal.csv", "rim.npy")
    ]
    assert files_of(folder / "none.yaml") == [str(folder / "none.yaml")]


def test_places_alone(folder):
    places = places_of(folder / "priors.yaml")
    assert places["regions"] == {"rim": {"mask": str(folder / "rim.npy")}}
    assert places["phases"]["wire"]["regions"]["only_in"] == ["rim"]
    assert places["phases"]["wire"]["regions"]["not_in"] == [{"y": [0, 2], "x": [0, 3]}]
    (folder / "priors.yaml").write_text("phases: {grain: {absent: [Ca]}}\n")
    assert places_of(folder / "priors.yaml") is None
    (folder / "priors.yaml").write_text("phases: [\n")
    assert places_of(folder / "priors.yaml") is None


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("priors.yaml", None, "no such file"),
        ("priors.yaml", "phases: [", "not valid YAML"),
        ("priors.yaml", "- 1\n", "expected the key `phases`"),
        ("priors.yaml", "phases: {a: {absnt: [Ca]}}", "did you mean absent"),
        ("priors.yaml", "phases: {a: {like: titania}}", "the library (no file) holds nothing"),
        ("priors.yaml", "phases: {a: {absent: [Ca], present: [Ca]}}", "contradict each other"),
        ("shared/phases.yaml", "phases: {b: {}}", "holds b: correct the name"),
        ("shared/phases.yaml", "geometry: embedded\nphases: {}", "stands in a library"),
        ("shared/phases.yaml", None, "no such file"),
        (
            "shared/phases.yaml",
            "phases: {titania: {regions: {only_in: [{y: [0, 1], x: [0, 1]}]}}, metal: {}}",
            "of a library has regions",
        ),
        ("shared/metal.csv", "energy,counts\n1,2\n", "expected the columns energy_kev, counts"),
        ("shared/metal.csv", None, "cannot be read"),
        ("rim.npy", "no array", "cannot be read"),
        ("rim.npy", None, "cannot be read"),
    ],
)
def test_what_is_wrong_with_a_file_is_named_with_the_file(folder, name, text, words):
    if text is None:
        (folder / name).unlink()
    else:
        (folder / name).write_text(text)
    with pytest.raises(ConfigError) as error:
        read_priors(folder / "priors.yaml")
    assert words in str(error.value)
    assert str(folder) in str(error.value)
