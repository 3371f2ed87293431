# SPDX-License-Identifier: GPL-3.0-or-later
"""What `mlatem.factorize` does with priors: their forms, their limits, and where phases may be."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

import mlatem
from mlatem import api, settings
from mlatem.errors import ConfigError, InputError
from mlatem.model import Dictionary, Factorization

ELEMENTS = ("O", "Si", "Ca", "Fe")
ENERGY = 0.3 + 0.02 * np.arange(300)
LINES_KEV = {"O": (0.53,), "Si": (1.74,), "Ca": (3.69, 4.01), "Fe": (0.71, 6.1)}
COMPOSITIONS = np.array(
    [[0.667, 0.333, 0.0, 0.0], [0.60, 0.20, 0.20, 0.0], [0.55, 0.05, 0.05, 0.35]]
)
SHAPE = (24, 32)
SETTINGS = settings.Factorize(n_thinnings=2)


def dictionary():
    columns = [
        sum(np.exp(-0.5 * ((ENERGY - line) / 0.05) ** 2) for line in LINES_KEV[e]) * (1 + i)
        for i, e in enumerate(ELEMENTS)
    ]
    columns += [np.exp(-ENERGY / 2) / ENERGY, np.exp(-ENERGY / 5)]
    names = [*ELEMENTS, "continuum 1", "continuum 2"]
    kinds = ["line"] * 4 + ["background"] * 2
    return Dictionary.from_arrays(columns, ENERGY, names, kinds, [*ELEMENTS, None, None])


def true_spectra():
    columns = dictionary().columns
    lines = COMPOSITIONS @ columns[:4]
    continuum = columns[4:].sum(axis=0)
    spectrum = 0.8 * lines / lines.sum(axis=1, keepdims=True) + 0.2 * continuum / continuum.sum()
    return spectrum / spectrum.sum(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def counts():
    """A matrix, a layer at the left border, and an embedded particle that is never pure."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    share = np.zeros((*SHAPE, 3))
    share[..., 1] = columns < 8
    inside = np.clip(1.2 - np.hypot(rows - 12, columns - 20) / 7, 0, 1)
    share[..., 2] = 0.6 * inside
    share[..., 0] = 1 - share[..., 1] - share[..., 2]
    rng = np.random.default_rng(5)
    return rng.poisson(300 * share @ true_spectra()).astype(np.uint16)


def factorize(counts, priors, n_phases=3, **options):
    result = mlatem.factorize(
        counts, dictionary(), n_phases, priors=priors, settings=SETTINGS, **options
    )
    return result, json.loads(result.attrs["details"])


def named(priors, **options):
    return api.named_phases(api.load_priors(priors), dictionary(), **options)


def test_a_mapping_a_file_and_a_record_are_the_same(counts, tmp_path):
    content = {"phases": {"layer": {"absent": ["Fe"], "present": ["Ca"]}}}
    path = tmp_path / "priors.yaml"
    path.write_text("phases:\n  layer:\n    absent: Fe\n    present: [Ca]\n")
    first, details = factorize(counts, content)
    for same in (path, str(path), api.load_priors(content)):
        other, _ = factorize(counts, same)
        assert np.array_equal(first["coefficient"], other["coefficient"])
    place = details["phase_names"].index("layer")
    assert first["coefficient"].values[place, 3] == 0
    assert first["coefficient"].values[place, 2] > 0
    assert details["priors"] == {"layer": ["absent Fe", "present Ca"]}
    assert details["prior_deviance"][place] < details["prior_limit"][place]


def test_a_geometry_is_that_of_all_phases(counts):
    _, details = factorize(counts, {"geometry": "contiguous"})
    settings = SETTINGS.model_copy(update={"geometry": "contiguous"})
    same = mlatem.factorize(counts, dictionary(), 3, settings=settings)
    opened = json.loads(same.attrs["ambiguity"])
    assert opened["is_given"] and opened["alternative"] == "embedded"
    assert details["settings"]["geometry"] == "contiguous"
    assert details["priors"] == {"": ["geometry contiguous"]}
    (reason,) = (d["reason"] for d in details["decisions"] if "geometry" in d["setting"])
    assert reason == "the geometry was given as contiguous in the priors"
    with pytest.raises(ConfigError, match=r"priors say geometry embedded, but factorize\.geometry"):
        mlatem.factorize(
            counts, dictionary(), 3, settings=settings, priors={"geometry": "embedded"}
        )


def test_the_decision_names_what_is_known(counts):
    _, details = factorize(counts, {"phases": {"layer": {"absent": ["Fe"]}}})
    (reason,) = (d["reason"] for d in details["decisions"] if "geometry" in d["setting"])
    assert "with what is known beforehand (layer: absent Fe)" in reason


def test_compositions_and_ratios_are_those_of_the_quantification(counts):
    priors = {
        "phases": {
            "particle": {"composition": {"Fe": 35}, "ratios": {"Si/Ca": 1}},
            "matrix": {"absent": ["Ca", "Fe"]},
        }
    }
    result, details = factorize(counts, priors)
    table = mlatem.quantify(result)
    assert list(table.frame.groupby("phase")["name"].first()) == details["phase_names"]
    table = table.pivot()
    particle = table.loc[1 + details["phase_names"].index("particle")]
    assert particle["Fe"] == pytest.approx(35, abs=1e-3)
    assert particle["Si"] == pytest.approx(particle["Ca"], rel=1e-3)
    assert np.abs(particle[list(ELEMENTS)] - 100 * COMPOSITIONS[2]).max() < 2.0


def test_the_example_of_the_documentation_can_be_read(tmp_path):
    page = (Path(__file__).parents[1] / "docs" / "how-to" / "priors.md").read_text("utf-8")
    priors, library = re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL)
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "phases.yaml").write_text(library)
    (tmp_path / "priors.yaml").write_text(priors)
    np.save(tmp_path / "rim.npy", np.ones((256, 256)))
    found = api.load_priors(tmp_path / "priors.yaml")
    assert list(found.phases) == ["substrate", "film", "particle"]
    assert found.phases["substrate"].absent == ("La", "Mn", "Fe")


def test_a_phase_is_only_where_it_may_be(counts):
    priors = {
        "regions": {"left": {"y": [0, 24], "x": [0, 8]}},
        "phases": {
            "layer": {"regions": {"only_in": "left"}},
            "particle": {"present": ["Fe"], "regions": {"not_in": ["left"]}},
        },
    }
    result, details = factorize(counts, priors)
    layer, particle = (details["phase_names"].index(n) for n in ("layer", "particle"))
    abundance = result["abundance"].values
    assert not abundance[:, 8:, layer].any() and not abundance[:, :8, particle].any()
    assert abundance[:, :8, layer].mean() > 200
    assert np.all(result["sigma_abundance"].values[:, 8:, layer] == 0)
    composition = result["coefficient"].values[layer, :4]
    assert np.abs(composition / composition.sum() - COMPOSITIONS[1]).max() < 0.02
    assert abundance.sum() == pytest.approx(counts.sum(), rel=0.01)


def test_where_a_phase_is_pure_no_other_has_counts(counts):
    mask = np.zeros(SHAPE, dtype=bool)
    mask[:, 1:6] = True
    result, details = factorize(
        counts, {"phases": {"layer": {"regions": {"pure_in": [{"mask": mask}]}}}}
    )
    layer = details["phase_names"].index("layer")
    others = np.delete(result["abundance"].values, layer, axis=2)
    assert not others[mask].any()
    composition = result["coefficient"].values[layer, :4]
    assert np.abs(composition / composition.sum() - COMPOSITIONS[1]).max() < 0.02


def test_tiles_change_nothing(counts):
    priors = {"phases": {"layer": {"regions": {"only_in": [{"y": [3, 20], "x": [0, 9]}]}}}}
    first, _ = factorize(counts, priors)
    other, _ = factorize(counts, priors, tile_shape=(10, 7))
    np.testing.assert_allclose(other["coefficient"], first["coefficient"], rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(other["abundance"], first["abundance"], rtol=1e-4, atol=1e-3)


def test_a_spectrum_of_coefficients_and_one_of_counts(counts):
    spectrum = true_spectra()[1]
    weights = np.linalg.lstsq(dictionary().columns.T, spectrum, rcond=None)[0].clip(0)
    by_name = dict(zip(dictionary().names, weights.tolist(), strict=True))
    known = [
        {"counts": spectrum, "energy_kev": ENERGY},
        {"counts": 1e5 * spectrum},
        {"coefficients": by_name},
    ]
    for content in known:
        found = named({"phases": {"layer": {"spectrum": content}}})
        shares = found.coefficient[0] / found.coefficient[0].sum()
        np.testing.assert_allclose(shares, weights / weights.sum(), atol=1e-4)
    result, details = factorize(counts, {"phases": {"layer": {"spectrum": known[0]}}})
    layer = details["phase_names"].index("layer")
    np.testing.assert_allclose(result["spectrum"].values[layer], spectrum, atol=1e-6)
    assert details["prior_deviance"][layer] < details["prior_limit"][layer]


def test_at_least_as_many_phases_as_have_names(counts):
    result, details = factorize(counts, {"phases": {"a": {}, "b": {}, "c": {}}}, n_phases="auto")
    assert result.sizes["phase"] >= 3
    assert sorted(filter(None, details["phase_names"])) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("phase", "words"),
    [
        ({"absent": ["Zr"]}, "'a': priors name Zr, but the dictionary has columns of O, Si, Ca"),
        ({"ratios": {"Sr/Ti": 1}}, "priors name Sr, Ti, but the dictionary"),
        ({"composition": {"O": 50, "Si": 10, "Ca": 5, "Fe": 5}}, "contradict"),
        (
            {"spectrum": {"counts": [1.0, 2.0]}},
            "spectrum has 2 channels, but the dictionary has 300",
        ),
        (
            {"spectrum": {"counts": np.ones(300), "energy_kev": ENERGY + 0.01}},
            "300 channels from 0.31 to 6.29 keV, but the dictionary has 300 from 0.3 to 6.28 keV",
        ),
        ({"spectrum": {"coefficients": {"Zr": 1.0}}}, "names columns Zr, but the dictionary has O"),
        (
            {"spectrum": {"coefficients": {"Si": 1.0, "O": 2.0}}, "absent": ["Si"]},
            "its spectrum, of O 66.7, Si 33.3 at%, contradicts absent Si",
        ),
        ({"spectrum": {"counts": np.eye(300)[100]}}, "degrees from what the dictionary's columns"),
    ],
)
def test_what_does_not_belong_to_the_dictionary_is_named(phase, words):
    with pytest.raises((ConfigError, InputError)) as error:
        named({"phases": {"a": phase}})
    assert words in str(error.value)


def test_part_of_a_longer_axis_is_taken():
    longer = np.concatenate([ENERGY[0] - 0.02 * np.arange(5, 0, -1), ENERGY])
    counts = np.concatenate([np.full(5, 9.0), true_spectra()[0]])
    found = named({"phases": {"a": {"spectrum": {"counts": counts, "energy_kev": longer}}}})
    spectrum = found.coefficient[0] @ dictionary().columns
    np.testing.assert_allclose(spectrum / spectrum.sum(), true_spectra()[0], atol=1e-6)


def test_places_for_nobody(counts):
    places = {"a": {"regions": {"only_in": [{"y": [0, 24], "x": [0, 8]}]}}}
    with pytest.raises(InputError, match="leave a part of the map to no phase, and n_phases is 1"):
        factorize(counts, {"phases": places}, n_phases=1)


def test_more_names_than_phases(counts):
    with pytest.raises(InputError, match=r"name 3 phases .a, b, c., but n_phases is 2"):
        factorize(counts, {"phases": {"a": {}, "b": {}, "c": {}}}, n_phases=2)


def test_the_refinement_refuses_phases_with_priors(counts):
    result, _ = factorize(counts, {"phases": {"layer": {"absent": ["Fe"]}}})
    assert Factorization.from_dataset(result).attrs["phase_names"]
    with pytest.raises(InputError, match="priors, which the refinement does not know"):
        mlatem.refine(counts, result)
