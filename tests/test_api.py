# SPDX-License-Identifier: GPL-3.0-or-later
"""The functions of `import mlatem` on arrays and datasets."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import mlatem
from mlatem import settings
from mlatem.errors import ConfigError, InputError
from mlatem.model import Dictionary, Factorization, SpectrumImage

N_ROWS, N_COLUMNS, N_ENERGY = 20, 26, 96
CENTRES = {"O": (12,), "Si": (30,), "Fe": (55, 62), "Ti": (40, 44)}
OPTIONS = settings.Factorize(n_thinnings=2)
SPECTRAL = np.linspace(0.3, 10.0, N_ENERGY)


def columns() -> np.ndarray:
    channel = np.arange(N_ENERGY)
    lines = [
        sum(np.exp(-0.5 * ((channel - centre) / 2.0) ** 2) for centre in centres)
        for centres in CENTRES.values()
    ]
    return np.stack([*lines, 0.05 * np.exp(-channel / 40.0)])


@pytest.fixture(scope="module")
def dictionary() -> Dictionary:
    return Dictionary.from_arrays(
        columns(),
        SPECTRAL,
        [*CENTRES, "continuum"],
        ["line"] * len(CENTRES) + ["background"],
        [*CENTRES, None],
    )


@pytest.fixture(scope="module")
def counts() -> np.ndarray:
    """A silicate on the left, an iron-titanium alloy on the right, mixed in between."""
    rng = np.random.default_rng(5)
    coefficient = np.array([[6.0, 3.0, 0.0, 0.0, 9.0], [0.0, 0.0, 4.0, 3.0, 9.0]])
    share = np.clip((np.arange(N_COLUMNS) - 8) / 8, 0, 1)
    abundance = np.broadcast_to(np.stack([1 - share, share], -1), (N_ROWS, N_COLUMNS, 2))
    return rng.poisson(2.0 * abundance @ (coefficient @ columns())).astype(np.uint16)


@pytest.fixture(scope="module")
def image(counts) -> SpectrumImage:
    return SpectrumImage(
        counts=counts,
        energy=SPECTRAL,
        y_nm=2.0 * np.arange(N_ROWS),
        x_nm=2.0 * np.arange(N_COLUMNS),
        name="strip",
    )


def labelled(image: SpectrumImage) -> xr.Dataset:
    return xr.Dataset(
        {"counts": (("y", "x", "energy"), image.counts)},
        coords={"y": image.y_nm, "x": image.x_nm, "energy": image.energy},
        attrs={"technique": "edxs", "acquisition": {}, "name": "strip", "details": {}},
    )


def labelled_ones() -> xr.Dataset:
    """A map of one count in each channel."""
    energy = 0.01 * np.arange(200)
    coords = {"y": [0.0, 1.0], "x": [0.0, 1.0], "energy": energy}
    return xr.Dataset({"counts": (("y", "x", "energy"), np.ones((2, 2, 200)))}, coords=coords)


@pytest.fixture(scope="module")
def result(counts, dictionary) -> xr.Dataset:
    return mlatem.factorize(counts, dictionary, 2, settings=OPTIONS)


@pytest.fixture(scope="module")
def lowrank(counts, dictionary) -> xr.Dataset:
    return mlatem.denoise(counts, dictionary)


def forms(image: SpectrumImage) -> dict[str, object]:
    dataset = labelled(image)
    return {
        "Dataset": dataset,
        "group": xr.DataTree(dataset),
        "DataTree": xr.DataTree.from_dict({"edxs": dataset}),
        "SpectrumImage": image,
    }


def test_phases_of_an_array(result):
    assert dict(result["abundance"].sizes) == {"y": N_ROWS, "x": N_COLUMNS, "phase": 2}
    assert result["spectrum"].shape == (2, N_ENERGY)
    phases = mlatem.quantify(result)
    table = phases.pivot("atomic_percent")  # noqa: PD010 - a PhaseTable's own
    alloy = table.loc[table["Fe"].idxmax()]
    silicate = table.loc[table["Si"].idxmax()]
    assert alloy["Fe"] == pytest.approx(100 * 4 / 7, abs=1.5)
    assert alloy["Ti"] == pytest.approx(100 * 3 / 7, abs=1.5)
    assert silicate["O"] == pytest.approx(100 * 6 / 9, abs=1.5)
    assert silicate["Si"] == pytest.approx(100 * 3 / 9, abs=1.5)


@pytest.mark.parametrize("form", ["Dataset", "group", "DataTree", "SpectrumImage"])
def test_every_form_of_the_data_gives_the_same(image, dictionary, result, lowrank, form):
    data = forms(image)[form]
    other = mlatem.factorize(data, dictionary, 2, settings=OPTIONS)
    np.testing.assert_array_equal(other["y"], image.y_nm)
    np.testing.assert_array_equal(other["x"], image.x_nm)
    for name in result.data_vars:
        np.testing.assert_array_equal(other[name].values, result[name].values)
    np.testing.assert_array_equal(
        mlatem.denoise(data, dictionary)["scores"].values, lowrank["scores"].values
    )
    pd.testing.assert_frame_equal(mlatem.quantify(other).frame, mlatem.quantify(result).frame)


def test_nested_lists_are_arrays_too(counts, dictionary, lowrank):
    other = mlatem.denoise(counts.tolist(), dictionary)
    np.testing.assert_array_equal(other["scores"].values, lowrank["scores"].values)


def test_records_quantify_like_datasets(result):
    record = Factorization.from_dataset(result)
    pd.testing.assert_frame_equal(mlatem.quantify(record).frame, mlatem.quantify(result).frame)
    xr.testing.assert_equal(mlatem.quantify_pixels(record), mlatem.quantify_pixels(result))


@pytest.mark.parametrize(
    "options",
    [
        {"tile_shape": (7, 9)},
        {"tile_shape": (1, N_COLUMNS)},
        {"threads": 3, "tile_shape": (8, 8)},
        {"threads": 2},
    ],
)
def test_tiles_and_threads_change_nothing(counts, dictionary, result, lowrank, options):
    other = mlatem.factorize(counts, dictionary, 2, settings=OPTIONS, **options)
    np.testing.assert_allclose(other["coefficient"], result["coefficient"], rtol=0, atol=1e-8)
    np.testing.assert_allclose(other["abundance"], result["abundance"], rtol=1e-5, atol=1e-4)
    other = mlatem.denoise(counts, dictionary, **options)
    np.testing.assert_allclose(other["scores"], lowrank["scores"], rtol=0, atol=1e-4)


def test_progress_counts_tiles_of_every_pass(counts, dictionary):
    seen: list[tuple[int, int]] = []
    options = {"tile_shape": (10, 12), "progress": lambda done, n: seen.append((done, n))}
    every = [(i, 6) for i in range(1, 7)]
    two_passes = settings.Denoise(rare=False, held_out=False)
    mlatem.denoise(counts, dictionary, settings=two_passes, **options)
    assert seen == every * 2
    seen.clear()
    # One more for the search in few pixels, three for the held-out check.
    mlatem.denoise(counts, dictionary, **options)
    assert seen == every * 6


def test_the_dictionary_may_describe_a_part_of_the_channels(counts, dictionary, result):
    padded = np.pad(counts, ((0, 0), (0, 0), (5, 3)), constant_values=1)
    shifted = Dictionary(**{**vars(dictionary), "first_channel": 5})
    other = mlatem.factorize(padded, shifted, 2, settings=OPTIONS)
    np.testing.assert_array_equal(other["abundance"].values, result["abundance"].values)
    assert mlatem.denoise(padded, shifted).attrs["first_channel"] == 5


def test_the_same_seed_gives_the_same(counts, dictionary, result):
    again = mlatem.factorize(counts, dictionary, 2, settings=OPTIONS)
    xr.testing.assert_identical(again, result)
    other = mlatem.factorize(counts, dictionary, 2, settings=OPTIONS, seed=1)
    assert not np.array_equal(other["coefficient"], result["coefficient"])
    np.testing.assert_allclose(other["spectrum"], result["spectrum"], atol=0.01)


def test_auto_finds_two_phases(counts, dictionary):
    result = mlatem.factorize(counts, dictionary, "auto", settings=OPTIONS)
    assert result.sizes["phase"] == 2
    assert mlatem.factorize(counts, dictionary, settings=OPTIONS).sizes["phase"] == 2


def test_reconstruct_gives_spectra_of_any_pixels(lowrank, counts):
    whole = mlatem.reconstruct(lowrank)
    assert whole.dims == ("y", "x", "energy")
    assert whole.shape == counts.shape
    pixel = mlatem.reconstruct(lowrank.isel(y=3, x=5))
    assert pixel.dims == ("energy",)
    np.testing.assert_allclose(pixel, whole.values[3, 5], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(whole["energy"], SPECTRAL)
    assert whole.values.sum() == pytest.approx(counts.sum(), rel=1e-3)
    # Raw counts differ from their expectation by Poisson noise, hence from a good estimate of it.
    assert np.mean((whole.values - counts) ** 2) == pytest.approx(counts.mean(), rel=0.1)


def test_pixel_maps_hold_every_element(result):
    maps = mlatem.quantify_pixels(result)
    assert maps["atomic_percent"].shape == (N_ROWS, N_COLUMNS, len(CENTRES))
    iron = maps["atomic_percent"].sel(element="Fe")
    assert float(iron[:, -6:].mean()) == pytest.approx(100 * 4 / 7, abs=3)
    assert float(iron[:, :6].mean()) < 3


@pytest.mark.parametrize("function", ["denoise", "factorize"])
@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda c: c[0], "2 dimensions, expected 3"),
        (lambda c: c[..., :50], "channels 0 to 95 but the counts have 50"),
        (
            lambda c: np.where(np.arange(c.size).reshape(c.shape) == 7, np.nan, c),
            "channel 7 is NaN",
        ),
        (lambda c: c + 0.5, "not a whole number"),
        (lambda c: c.astype(int) - 1, "negative"),
        (np.zeros_like, "no counts|0 counts"),
        (lambda c: c[:0], "0 x 26 pixels"),
        (lambda c: c.astype(str), "expected whole numbers"),
        (lambda c: np.ma.masked_greater(c, 3), "values of the counts are masked in pixels"),
        (lambda c: [[1, 2], [3]], "not an array"),
        (lambda c: "map.emd", "map.emd is a path"),
        (lambda c: c[0, 0], "1 dimensions, expected 3 .* the shape .1, 1, n_energy."),
    ],
)
def test_unusable_counts_are_refused(counts, dictionary, function, spoil, named):
    with pytest.raises(InputError, match=named):
        getattr(mlatem, function)(spoil(counts), dictionary)


def test_an_unknown_keyword_is_named(counts, dictionary, image):
    calls = (
        lambda: mlatem.factorize(counts, dictionary, 2, tile_shap=(4, 4)),
        lambda: mlatem.denoise(counts, dictionary, tile_shap=(4, 4)),
        lambda: mlatem.calibrate(image, ["Fe"], tile_shap=(4, 4)),
        lambda: mlatem.identify(image, tile_shap=(4, 4)),
    )
    for call in calls:
        with pytest.raises(InputError, match=r"'tile_shap' is no keyword.*tile_shape, threads"):
            call()


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda c: mlatem.calibrate("map.emd", ["Fe"]), "map.emd is a path: give the counts"),
        (lambda c: mlatem.calibrate(c, ["Fe"]), "the spectrum image is a ndarray: give what"),
        (lambda c: mlatem.calibrate(labelled_ones(), "Fe,O"), "elements are the text 'Fe,O'"),
        (lambda c: mlatem.edxs_dictionary(labelled_ones(), ["Fe"]), "calibration is a list"),
        (mlatem.quantify, "the factorisation is a ndarray: give what mlatem.factorize returns"),
    ],
)
def test_something_else_in_its_place_is_named(counts, call, named):
    with pytest.raises(InputError, match=named):
        call(counts)


def test_columns_are_no_dictionary(counts):
    with pytest.raises(InputError, match=r"dictionary is a ndarray: .*Dictionary\.from_arrays"):
        mlatem.factorize(counts, columns(), 2)


def test_a_dictionary_that_is_zero_wherever_there_are_counts(counts, dictionary):
    elsewhere = np.zeros_like(counts)
    elsewhere[..., 80:] = counts[..., :16]
    low = replace(dictionary, columns=dictionary.columns * (np.arange(N_ENERGY) < 75))
    with pytest.raises(InputError, match="no column of the dictionary is above zero where"):
        mlatem.factorize(elsewhere, low, 1, settings=OPTIONS)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda c: np.vstack([c[:1], c[1:4], c[:1]]), "have the same shape: leave one out"),
        (lambda c: c * [[0], [1], [1], [1], [1]], "is zero on this energy axis"),
        (lambda c: c * np.nan, "NaN, infinite or negative"),
        (lambda c: c - 1, "NaN, infinite or negative"),
    ],
)
def test_columns_that_cannot_be_used_are_named(dictionary, change, named):
    with pytest.raises(InputError, match=named):
        replace(dictionary, columns=change(dictionary.columns))


def test_one_bright_pixel_in_a_dark_map(counts, dictionary):
    dark = np.zeros_like(counts)
    dark[4, 4] = 50 * counts[4, 4]
    result = mlatem.factorize(dark, dictionary, 1, settings=OPTIONS)
    abundance = result["abundance"].values[..., 0]
    assert abundance[4, 4] == pytest.approx(dark.sum(), rel=1e-3)
    assert np.count_nonzero(abundance) == 1


def test_counts_that_single_precision_cannot_follow_do_not_look_converged(counts, dictionary):
    """A hundred million photons a channel: attributes and verdicts say so, whichever part fails."""
    result = mlatem.factorize(counts.astype(np.uint32) * 10**8, dictionary, 2, settings=OPTIONS)
    attrs = Factorization.from_dataset(result).attrs
    failing = {v["status"] for v in attrs["verdicts"]} & {"bad", "warning"}
    assert np.all(np.isfinite(result["coefficient"]))
    assert attrs["converged"] != bool(attrs["reason"])
    assert attrs["converged"] != bool(failing)


def test_rounds_that_run_out_are_said(counts, dictionary):
    few = settings.Factorize(n_thinnings=2, max_rounds=1)
    result = mlatem.factorize(counts, dictionary, 2, settings=few)
    attrs = Factorization.from_dataset(result).attrs
    assert not attrs["converged"] and "still moved" in attrs["reason"]
    assert "bad" in {verdict["status"] for verdict in attrs["verdicts"]}


def test_a_dictionary_of_another_energy_axis_is_refused(image, dictionary):
    in_ev = replace(image, energy=1000 * SPECTRAL)
    with pytest.raises(InputError, match="channel 95 lies at 10000 and the dictionary's at 10"):
        mlatem.factorize(in_ev, dictionary, 2, settings=OPTIONS)


def test_a_calibrated_axis_is_another_one_too(image, dictionary, result):
    moved = replace(image, energy=SPECTRAL * 1.002 - 0.03)
    again = mlatem.factorize(moved, dictionary, 2, settings=OPTIONS)
    assert np.allclose(again["coefficient"], result["coefficient"])


def test_one_phase_and_pixels_and_channels_without_counts(counts, dictionary):
    spoiled = counts.copy()
    spoiled[3:6, 2:9] = 0
    spoiled[..., 20:26] = 0
    result = mlatem.factorize(spoiled, dictionary, 1, settings=OPTIONS)
    abundance = result["abundance"].values[..., 0]
    assert not abundance[3:6, 2:9].any()
    assert np.allclose(abundance.sum(), spoiled.sum(), rtol=1e-3)
    assert np.all(np.isfinite(result["coefficient"]))
    assert np.isnan(result["sigma_abundance"].values[4, 4, 0])


@pytest.mark.parametrize("n_phases", [3, 40])
def test_more_phases_than_the_data_carry(counts, dictionary, n_phases):
    """Too many for the dictionary is an error; too many for the noise is said in a verdict."""
    if n_phases > dictionary.n_columns:
        with pytest.raises(InputError, match=f"n_phases is {n_phases}"):
            mlatem.factorize(counts, dictionary, n_phases, settings=OPTIONS)
        return
    result = mlatem.factorize(counts, dictionary, n_phases, settings=OPTIONS)
    verdicts = Factorization.from_dataset(result).attrs["verdicts"]
    assert "warning" in {verdict["status"] for verdict in verdicts}


@pytest.mark.parametrize("seed", [-1, 2**70, 0.5])
def test_a_seed_that_is_none(counts, dictionary, seed):
    with pytest.raises(ConfigError, match=r"mlatem\.factorize: factorize\.seed"):
        mlatem.factorize(counts, dictionary, 2, seed=seed)


@pytest.mark.parametrize("n_phases", [0, -1, 2.5, "many"])
def test_a_number_of_phases_that_is_none(counts, dictionary, n_phases):
    with pytest.raises(ConfigError, match=r"mlatem\.factorize: factorize\.n_phases"):
        mlatem.factorize(counts, dictionary, n_phases)


def test_a_dataset_without_counts_is_named(image, dictionary):
    bare = labelled(image).rename(counts="signal")
    for data in (bare, xr.DataTree(bare)):
        with pytest.raises(InputError, match=r"no variable 'counts' among \['signal'\]"):
            mlatem.factorize(data, dictionary, 2)


def test_a_dataset_of_ones_own_needs_no_attributes(image, dictionary, result):
    own = labelled(image).drop_attrs().transpose("energy", "x", "y")
    other = mlatem.factorize(own, dictionary, 2, settings=OPTIONS)
    np.testing.assert_array_equal(other["abundance"].values, result["abundance"].values)


@pytest.mark.parametrize(
    "change",
    [
        lambda dataset: dataset.drop_vars("energy"),
        lambda dataset: dataset.rename(x="column"),
        lambda dataset: dataset.isel(y=0),
    ],
)
def test_missing_axes_are_named(image, dictionary, change):
    with pytest.raises(InputError, match=r"expected \('y', 'x', 'energy'\) as both"):
        mlatem.factorize(change(labelled(image)), dictionary, 2)


def test_only_factorizations_are_quantified(lowrank):
    with pytest.raises(InputError, match="not a factorisation"):
        mlatem.quantify(lowrank)


def test_public_names_are_listed_and_found():
    assert set(mlatem.__all__) <= set(dir(mlatem))
    for name in mlatem.__all__:
        assert getattr(mlatem, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'factorise'"):
        _ = mlatem.factorise


def test_submodules_do_not_hide_functions():
    """A module of the same name, once imported, would take a function's place."""
    code = (
        "import mlatem.steps.denoise, mlatem.steps.factorize, mlatem.calibration.image, mlatem\n"
        "for name in mlatem.__all__:\n"
        "    value = getattr(mlatem, name)\n"
        "    assert name == '__version__' or callable(value), name\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_mlatem_is_light():
    code = (
        "import sys, mlatem\n"
        "heavy = {'snakemake', 'dask', 'xarray', 'matplotlib', 'numba', 'numpy', 'pandas'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_analysis_needs_neither_snakemake_nor_matplotlib():
    code = (
        "import sys, mlatem\n"
        "[getattr(mlatem, name) for name in mlatem.__all__]\n"
        "print(sorted({'snakemake', 'matplotlib', 'typer'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
