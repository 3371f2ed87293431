# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a store is named."""

import json
import shutil

import numpy as np
import pytest
import xarray as xr
import zarr

from mlatem.io.signals import RawSignals
from mlatem.io.store import write_store
from mlatem.io.validate import validate_store
from mlatem.model import SpectrumImage


@pytest.fixture
def store(tmp_path):
    counts = np.random.default_rng(2).poisson(0.5, (140, 12, 40)).astype(np.uint16)
    axes = 0.01 * np.arange(40), np.arange(140.0), np.arange(12.0)
    losses = SpectrumImage(
        counts[:8] / 3.0, 400.0 + axes[0], axes[1][:8], axes[2], technique="eels"
    )
    survey = xr.DataArray(
        np.ones((5, 4), dtype=np.float32),
        dims=("y", "x"),
        coords={"y": np.arange(5.0), "x": np.arange(4.0)},
        name="HAADF",
    )
    path = tmp_path / "spim.zarr"
    write_store(RawSignals((SpectrumImage(counts, *axes), losses), (survey,), {"a": 1}), path)
    return path


def edit(path, change):
    """Change the metadata of a node of the store, in place."""
    values = json.loads((path / "zarr.json").read_text())
    change(values)
    (path / "zarr.json").write_text(json.dumps(values))


def attributes(**new):
    return lambda values: values["attributes"].update(new)


@pytest.mark.parametrize("deep", [False, True])
def test_a_good_store_has_no_problems(store, deep):
    (store / "edxs" / ".snakemake_timestamp").touch()
    assert validate_store(store, deep=deep) == []


def test_no_store(tmp_path):
    for content, named in {
        None: "no store",
        '{"zarr': "broken",
        '{"zarr_format": 3, "node_type": "group", "attributes": {}}': "schema None",
        '{"zarr_format": 3, "node_type": "group", "attributes": {"schema": "mlatem-spim/1"}}': (
            "never finished"
        ),
    }.items():
        if content is not None:
            (tmp_path / "zarr.json").write_text(content)
        (problem,) = validate_store(tmp_path)
        assert named in problem
        assert str(tmp_path) in problem
    (problem,) = validate_store(tmp_path / "absent")
    assert "no store" in problem


@pytest.mark.parametrize(
    ("lost", "named"),
    [
        ("edxs/counts/c/1", "edxs: 9 of 10 files; missing ones read as zeros"),
        ("edxs/counts", "edxs: the array counts is missing"),
        ("edxs/energy", "edxs: the coordinate energy is missing"),
        ("edxs", "edxs: the group is missing or broken"),
        ("survey/haadf", "survey: the image haadf is missing"),
        ("original_metadata/json", "original_metadata: the array json is missing"),
    ],
)
def test_missing_parts(store, lost, named):
    shutil.rmtree(store / lost)
    problems = validate_store(store)
    assert any(problem.startswith(named) for problem in problems), problems


@pytest.mark.parametrize(
    ("node", "change", "named"),
    [
        ("edxs/energy", attributes(units="eV"), "edxs: energy has unit 'eV', expected 'keV'"),
        ("eels_core/energy_loss", attributes(units="m"), "eels_core: energy_loss has unit 'm'"),
        ("survey/x", attributes(units="um"), "survey: x has unit 'um', expected 'nm'"),
        ("edxs", attributes(technique="eels"), "technique 'eels', expected 'edxs'"),
        ("edxs", lambda v: v["attributes"].pop("acquisition"), "acquisition is missing"),
        (
            "edxs",
            attributes(acquisition={"beam_energy": {"value": 1, "origin": "file"}}),
            "unknown acquisition value 'beam_energy'",
        ),
        (
            "edxs/counts",
            lambda v: v["attributes"].pop("total_counts"),
            "lack the attribute total_counts",
        ),
        (
            "edxs/counts",
            lambda v: v.update(dimension_names=["x", "y", "energy"]),
            "counts have dimensions ('x', 'y', 'energy')",
        ),
        ("", lambda v: v["attributes"].pop("source"), "the attribute source"),
        ("", lambda v: v["attributes"].update(groups={"survey": 1}), "no group with counts"),
    ],
)
def test_wrong_metadata(store, node, change, named):
    edit(store / node, change)
    problems = validate_store(store)
    assert any(named in problem for problem in problems), problems


def test_wrong_axes(store):
    array = zarr.open_group(store)["edxs/energy"]
    array[:] = array[:][::-1]
    (problem,) = validate_store(store)
    assert "energy does not increase" in problem
    array[:] = np.arange(40.0) ** 2
    (problem,) = validate_store(store)
    assert "energy is not evenly spaced" in problem


def test_wrong_layout(store):
    group = zarr.open_group(store)["edxs"]
    counts, attrs = group["counts"][:], dict(group["counts"].attrs)
    del group["counts"]
    group.create_array(
        "counts", data=counts.astype("i4"), chunks=(10, 12, 40),
        dimension_names=("y", "x", "energy"), attributes=attrs,
    )  # fmt: skip
    problems = validate_store(store, deep=True)
    assert [problem.split(",")[0] for problem in problems] == [
        "edxs: counts lie in chunks of (10",
        "edxs: counts lie in shards of None",
        "edxs: counts are not compressed by Blosc",
        "edxs: counts are of type int32",
    ]


def test_other_counts_show_only_when_they_are_read(store):
    zarr.open_group(store)["edxs/counts"][3, 4, 5] = 99
    assert validate_store(store) == []
    seen = []
    (problem,) = validate_store(store, deep=True, progress=lambda *parts: seen.append(parts))
    assert problem.startswith("edxs: counts add up to ")
    assert problem.endswith("were converted")
    assert seen == [(1, 2), (2, 2), (1, 1)]


def test_a_damaged_shard_is_named(store):
    shard = next(path for path in (store / "edxs/counts/c/1").rglob("*") if path.is_file())
    shard.write_bytes(b"\xff" * shard.stat().st_size)
    assert validate_store(store) == []
    (problem,) = validate_store(store, deep=True)
    assert "edxs: counts of rows 128 to 140, columns 0 to 12 cannot be read" in problem


def test_damaged_metadata_of_the_vendor(store):
    chunk = next(path for path in (store / "original_metadata/json/c").rglob("*") if path.is_file())
    chunk.write_bytes(b"\x00" * 9)
    (problem,) = validate_store(store)
    assert problem.startswith("original_metadata: damaged")
