# SPDX-License-Identifier: GPL-3.0-or-later
"""The factorisation as jobs on blocks of tiles: the same as in one go."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from mlatem import api, settings
from mlatem.errors import ConfigError, InputError, MlatemError, StoreError
from mlatem.io.atomic import read_json, write_json
from mlatem.io.datasets import load_dataset, save_dataset
from mlatem.io.signals import RawSignals
from mlatem.io.store import load_spectrum_image, tile_shape, write_store
from mlatem.model import Acquisition, Factorization, SpectrumImage, Value
from mlatem.model.priors import Priors
from mlatem.physics.dictionary import edxs_dictionary
from mlatem.sheet import DatasetRow
from mlatem.steps import blocks, calibrate, denoise, factorize
from mlatem.steps.compositions import load_compositions, save_compositions
from mlatem.steps.inputs import half_of_shard, load_calibration

SHAPE = (100, 80)
ENERGY = -0.2 + 0.005 * np.arange(4096)
WINDOW = slice(120, 2000)
COMPOSITIONS = ({"O": 0.667, "Si": 0.333}, {"Fe": 0.7, "Ni": 0.3})
ELEMENTS = "O,Si,Fe,Ni"
COUNTS_PER_PIXEL = 40.0
EDXS = settings.Edxs(energy_max_kev=9.7)
FACTORIZE = settings.Factorize(n_phases=2, n_thinnings=2)


def spectra() -> np.ndarray:
    """Spectra of two phases that add up to one, each with some continuum."""
    dictionary = edxs_dictionary(ENERGY[WINDOW], elements=ELEMENTS.split(","), beam_energy_kev=200)
    continuum = dictionary.columns[4:].sum(axis=0)
    result = np.zeros((2, ENERGY.size))
    for spectrum, composition in zip(result, COMPOSITIONS, strict=True):
        lines = np.array([composition.get(e, 0) for e in ELEMENTS.split(",")])
        lines = lines @ dictionary.columns[:4]
        spectrum[WINDOW] = 0.8 * lines / lines.sum() + 0.2 * continuum / continuum.sum()
    return result


def sparse_counts(rng: np.random.Generator) -> np.ndarray:
    """Every photon drawn by itself: metal grains cross the borders of the shards at 64."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    metal = (np.hypot(rows - 60, columns - 58) < 22) | (rows + columns < 30)
    counts = np.zeros((*SHAPE, ENERGY.size), dtype=np.uint8)
    for spectrum, inside in zip(spectra(), (~metal, metal), strict=True):
        pixels = np.repeat(np.flatnonzero(inside), rng.poisson(COUNTS_PER_PIXEL, inside.sum()))
        channels = rng.choice(ENERGY.size, size=pixels.size, p=spectrum)
        np.add.at(counts.reshape(-1, ENERGY.size), (pixels, channels), 1)
    return counts


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A store of four shards with its calibration and low-rank product."""
    folder = tmp_path_factory.mktemp("blocks")
    image = SpectrumImage(
        counts=sparse_counts(np.random.default_rng(2)),
        energy=ENERGY,
        y_nm=2.0 * np.arange(SHAPE[0]),
        x_nm=2.0 * np.arange(SHAPE[1]),
        acquisition=Acquisition({"beam_energy_kev": Value(200.0, "file")}),
        name="grains",
    )
    store = folder / "spim.zarr"
    write_store(RawSignals((image,)), store)
    assert tile_shape(store) == (64, 64)
    row = DatasetRow.from_strings({"dataset": "grains", "path": "x", "elements": ELEMENTS})
    calibrate.calibrate(
        store,
        calibration=folder / "calibration.json",
        row=row,
        edxs=EDXS,
        settings=settings.Calibrate(),
    )
    denoise.denoise(
        store,
        folder / "calibration.json",
        lowrank=folder / "lowrank.zarr",
        edxs=EDXS,
        settings=settings.Denoise(),
    )
    return folder


def run(
    folder: Path, out: Path, n_blocks: int, threads: int = 1, priors: Priors | None = None
) -> xr.Dataset:
    """The workflow's jobs, one after the other; blocks in reverse, as none waits for another."""
    store, calibration = folder / "spim.zarr", folder / "calibration.json"
    names = [f"{i + 1}-of-{n_blocks}" for i in range(n_blocks)]
    regions, compositions = out / "regions.npz", out / "compositions.npz"
    sums = [out / f"sums-{block}.npz" for block in names]
    abundances = [out / f"abundances-{block}.npz" for block in names]
    blocks.place_regions(
        store,
        calibration,
        folder / "lowrank.zarr",
        regions=regions,
        edxs=EDXS,
        settings=FACTORIZE,
        threads=threads,
    )
    for block, path in reversed(list(zip(names, sums, strict=True))):
        blocks.pool_regions(store, regions, sums=path, priors=priors, block=block, threads=threads)
    blocks.solve_compositions(
        store,
        calibration,
        regions,
        sums,
        compositions=compositions,
        edxs=EDXS,
        settings=FACTORIZE,
        priors=priors,
    )
    for block, path in reversed(list(zip(names, abundances, strict=True))):
        blocks.fit_abundances(store, compositions, abundances=path, block=block, threads=threads)
    blocks.merge(store, compositions, abundances, factorization=out / "factorization.zarr")
    return load_dataset(out / "factorization.zarr")


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory):
    """Files of a run in one block, and its factorisation."""
    out = tmp_path_factory.mktemp("one")
    return out, run(folder, out, 1)


def assert_same(found: xr.Dataset, expected: xr.Dataset) -> None:
    assert set(found.variables) == set(expected.variables)
    for name, values in expected.variables.items():
        # Sums over pixels may be added in another order.
        np.testing.assert_allclose(
            found[name].values, values.values, rtol=1e-9, atol=1e-12, err_msg=str(name)
        )
    assert found.attrs == expected.attrs


def test_the_phases_are_the_true_ones(whole):
    table = api.quantify(whole[1]).pivot("atomic_percent")
    for composition in COMPOSITIONS:
        true = np.array([100 * composition.get(element, 0.0) for element in table.columns])
        assert np.abs(table - true).mean(axis=1).min() < 1.5


@pytest.mark.parametrize("n_blocks", [3, 7])
def test_blocks_give_what_one_block_gives(folder, whole, tmp_path, n_blocks):
    """Three blocks share four tiles; of seven, three have none."""
    assert_same(run(folder, tmp_path, n_blocks), whole[1])


def test_threads_change_nothing(folder, whole, tmp_path):
    assert_same(run(folder, tmp_path, 2, threads=2), whole[1])


def test_priors_hold_across_blocks(folder, tmp_path):
    content = {
        "phases": {
            "metal": {"absent": ["Si"], "regions": {"not_in": [{"y": [0, 100], "x": [0, 10]}]}}
        }
    }
    priors = api.load_priors(content)
    for name in ("one", "three"):
        (tmp_path / name).mkdir()
    expected = run(folder, tmp_path / "one", 1, priors=priors)
    assert_same(run(folder, tmp_path / "three", 3, priors=priors), expected)
    result = Factorization.from_dataset(expected)
    metal = result.attrs["phase_names"].index("metal")
    assert not result.abundance[:, :10, metal].any() and result.abundance[:, 10:, metal].any()
    assert result.coefficient[metal, result.dictionary.names.index("Si")] == 0
    with pytest.raises(StoreError, match="sums over 2 groups of pixels"):
        blocks.solve_compositions(
            folder / "spim.zarr",
            folder / "calibration.json",
            tmp_path / "one" / "regions.npz",
            [tmp_path / "one" / "sums-1-of-1.npz"],
            compositions=tmp_path / "other.npz",
            edxs=EDXS,
            settings=FACTORIZE,
        )


def test_masks_hold_across_blocks(folder, tmp_path):
    """Also where a whole shard is masked, and with what a mask of the file says."""
    image = load_spectrum_image(folder / "spim.zarr")
    mask = np.random.default_rng(0).random(SHAPE) < 0.05
    mask[:64, 64:] = True
    files = tmp_path / "masked"
    files.mkdir()
    write_store(RawSignals((replace(image, mask=mask),)), files / "spim.zarr")
    (files / "calibration.json").write_bytes((folder / "calibration.json").read_bytes())
    denoise.denoise(
        files / "spim.zarr",
        files / "calibration.json",
        lowrank=files / "lowrank.zarr",
        edxs=EDXS,
        settings=settings.Denoise(),
    )
    scores = load_dataset(files / "lowrank.zarr")["scores"]
    np.testing.assert_array_equal(np.isnan(scores).any("axis"), mask)
    expected = run(files, files, 1)
    (tmp_path / "three").mkdir()
    assert_same(run(files, tmp_path / "three", 3), expected)
    np.testing.assert_array_equal(np.isnan(expected["abundance"]).all("phase"), mask)
    np.testing.assert_array_equal(expected["mask"], mask)
    factorize.factorize(
        files / "spim.zarr",
        files / "calibration.json",
        files / "lowrank.zarr",
        factorization=tmp_path / "factorization.zarr",
        edxs=EDXS,
        settings=FACTORIZE,
    )
    assert_same(load_dataset(tmp_path / "factorization.zarr"), expected)


def test_one_call_does_the_same(folder, whole, tmp_path):
    factorize.factorize(
        folder / "spim.zarr",
        folder / "calibration.json",
        folder / "lowrank.zarr",
        factorization=tmp_path / "factorization.zarr",
        edxs=EDXS,
        settings=FACTORIZE,
    )
    assert_same(load_dataset(tmp_path / "factorization.zarr"), whole[1])
    assert [path.name for path in tmp_path.iterdir()] == ["factorization.zarr"]


@pytest.mark.parametrize(
    ("shard", "tile"),
    [((128, 128), (64, 128)), ((64, 64), (32, 64)), ((96, 128), (32, 128)), ((10, 50), (10, 50))],
)
def test_tiles_of_a_job_are_whole_chunks(shard, tile):
    assert half_of_shard(shard) == tile


def test_files_give_what_arrays_give(folder, whole):
    image = load_spectrum_image(folder / "spim.zarr")
    calibration = load_calibration(folder / "calibration.json")
    dictionary = api.edxs_dictionary(image, calibration, edxs=EDXS)
    result = api.factorize(
        image,
        dictionary,
        calibration=calibration,
        edxs=EDXS,
        settings=FACTORIZE,
        tile_shape=(64, 64),
    )
    for name in ("coefficient", "abundance", "spectrum"):
        np.testing.assert_allclose(result[name], whole[1][name], rtol=1e-9, atol=1e-12)


def test_the_other_answer_goes_through_the_blocks_where_the_class_is_open(folder, whole, tmp_path):
    known = load_compositions(whole[0] / "compositions.npz")
    opened = replace(known.solution.ambiguity, geometry_class="OPEN", is_given=False)
    path, store = tmp_path / "compositions.npz", folder / "spim.zarr"
    save_compositions(path, replace(known, solution=replace(known.solution, ambiguity=opened)))
    parts = [tmp_path / f"abundances-{block}.npz" for block in ("1-of-2", "2-of-2")]
    for part in parts:
        block = part.stem.removeprefix("abundances-")
        blocks.fit_abundances(store, path, abundances=part, block=block)
    blocks.merge(store, path, parts, factorization=tmp_path / "factorization.zarr")
    found = load_dataset(tmp_path / "factorization.zarr")
    assert found["alternative_abundance"].shape == found["abundance"].shape
    total = found["abundance"].sum().item()
    assert found["alternative_abundance"].sum().item() == pytest.approx(total, rel=1e-3)
    assert found["alternative_deviance"].values.min() >= 0
    assert "alternative_abundance" not in whole[1]


def spoiled(path: Path, out: Path, kind: str) -> Path:
    """A copy of a file that is missing, cut off, empty, or another thing altogether."""
    copy = out / path.name
    data = path.read_bytes()
    contents = {"cut": data[: len(data) // 2], "empty": b"", "other": b"no archive"}
    if kind != "missing":
        copy.write_bytes(contents[kind])
    return copy


KINDS = ["missing", "cut", "empty", "other"]


@pytest.mark.parametrize("kind", KINDS)
def test_bad_files_of_earlier_steps_are_named(folder, whole, tmp_path, kind):
    files, store = whole[0], folder / "spim.zarr"

    def bad(name: str) -> Path:
        return spoiled(files / name, tmp_path, kind)

    with pytest.raises(StoreError, match=r"regions\.npz"):
        blocks.pool_regions(store, bad("regions.npz"), sums=tmp_path / "out.npz")
    with pytest.raises(StoreError, match=r"sums-1-of-1\.npz"):
        blocks.solve_compositions(
            store,
            folder / "calibration.json",
            files / "regions.npz",
            [bad("sums-1-of-1.npz")],
            compositions=tmp_path / "out.npz",
            edxs=EDXS,
            settings=FACTORIZE,
        )
    with pytest.raises(StoreError, match=r"compositions\.npz"):
        blocks.fit_abundances(store, bad("compositions.npz"), abundances=tmp_path / "out.npz")
    with pytest.raises(StoreError, match=r"abundances-1-of-1\.npz"):
        blocks.merge(
            store,
            files / "compositions.npz",
            [bad("abundances-1-of-1.npz")],
            factorization=tmp_path / "out.zarr",
        )
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_calibration_is_named(folder, whole, tmp_path, kind):
    path = spoiled(folder / "calibration.json", tmp_path, kind)
    with pytest.raises(StoreError, match=r"calibration\.json"):
        denoise.denoise(
            folder / "spim.zarr",
            path,
            lowrank=tmp_path / "lowrank.zarr",
            edxs=EDXS,
            settings=settings.Denoise(),
        )
    assert not (tmp_path / "lowrank.zarr").exists()


def test_json_that_is_no_calibration(folder, tmp_path):
    path = tmp_path / "calibration.json"
    for content in ({}, [1, 2], {"schema": "other"}):
        write_json(path, content)
        with pytest.raises(StoreError, match=r"calibration\.json: not a calibration"):
            load_calibration(path)


def test_a_file_of_another_step_is_named(folder, whole, tmp_path):
    """Arrays, but not those that the step takes."""
    files, store = whole[0], folder / "spim.zarr"
    swapped = files / "sums-1-of-1.npz"
    with pytest.raises(StoreError, match=r"sums-1-of-1\.npz"):
        blocks.pool_regions(store, swapped, sums=tmp_path / "out.npz")
    with pytest.raises(StoreError, match=r"sums-1-of-1\.npz"):
        blocks.fit_abundances(store, swapped, abundances=tmp_path / "out.npz")
    with pytest.raises(StoreError, match=r"regions\.npz"):
        blocks.solve_compositions(
            store,
            folder / "calibration.json",
            files / "regions.npz",
            [files / "regions.npz"],
            compositions=tmp_path / "out.npz",
            edxs=EDXS,
            settings=FACTORIZE,
        )
    with pytest.raises(StoreError, match=r"regions\.npz"):
        blocks.merge(
            store,
            files / "compositions.npz",
            [files / "regions.npz"],
            factorization=tmp_path / "out.zarr",
        )


def test_a_dataset_that_is_no_low_rank_product(folder, whole, tmp_path):
    with pytest.raises(MlatemError, match=r"factorization\.zarr"):
        blocks.place_regions(
            folder / "spim.zarr",
            folder / "calibration.json",
            whole[0] / "factorization.zarr",
            regions=tmp_path / "out.npz",
            edxs=EDXS,
            settings=FACTORIZE,
        )


def test_a_low_rank_product_of_nothing(tmp_path, folder):
    save_dataset(xr.Dataset(attrs={"schema": "other"}), tmp_path / "lowrank.zarr")
    with pytest.raises(MlatemError, match=r"lowrank\.zarr"):
        blocks.place_regions(
            folder / "spim.zarr",
            folder / "calibration.json",
            tmp_path / "lowrank.zarr",
            regions=tmp_path / "out.npz",
            edxs=EDXS,
            settings=FACTORIZE,
        )


def test_a_calibration_of_another_window_is_refused(folder, whole, tmp_path):
    """A window of the same size elsewhere would give phases of the wrong channels."""
    values = read_json(folder / "calibration.json")
    values["first_channel"] += 1
    values["stop_channel"] += 1
    write_json(tmp_path / "calibration.json", values)
    with pytest.raises(StoreError, match=r"sums-1-of-1\.npz: made of channels"):
        blocks.solve_compositions(
            folder / "spim.zarr",
            tmp_path / "calibration.json",
            whole[0] / "regions.npz",
            [whole[0] / "sums-1-of-1.npz"],
            compositions=tmp_path / "out.npz",
            edxs=EDXS,
            settings=FACTORIZE,
        )


def test_a_low_rank_product_of_another_window_is_refused(folder, tmp_path):
    values = read_json(folder / "calibration.json")
    values["first_channel"] += 1
    values["stop_channel"] += 1
    write_json(tmp_path / "calibration.json", values)
    with pytest.raises(StoreError, match=r"lowrank\.zarr: made of channels"):
        factorize.factorize(
            folder / "spim.zarr",
            tmp_path / "calibration.json",
            folder / "lowrank.zarr",
            factorization=tmp_path / "out.zarr",
            edxs=EDXS,
            settings=FACTORIZE,
        )


def test_a_block_that_is_left_out_or_given_twice(folder, whole, tmp_path):
    files, store = whole[0], folder / "spim.zarr"
    path = tmp_path / "abundances-1-of-3.npz"
    blocks.fit_abundances(store, files / "compositions.npz", abundances=path, block="1-of-3")
    for paths in ([path], [path, files / "abundances-1-of-1.npz"]):
        with pytest.raises(InputError, match="expected each pixel once"):
            blocks.merge(
                store, files / "compositions.npz", paths, factorization=tmp_path / "out.zarr"
            )


@pytest.mark.parametrize("block", ["", "1", "1of3", "a-of-3", "0-of-3", "4-of-3", "1-of-0"])
def test_names_of_blocks_that_do_not_exist(folder, whole, tmp_path, block):
    with pytest.raises((ConfigError, InputError), match="block"):
        blocks.pool_regions(
            folder / "spim.zarr",
            whole[0] / "regions.npz",
            sums=tmp_path / "out.npz",
            block=block,
        )
