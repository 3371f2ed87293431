# SPDX-License-Identifier: GPL-3.0-or-later
import json
import warnings
import zipfile

import numpy as np
import pytest
import xarray as xr

import mlatem
from mlatem.errors import InputError, StoreError
from mlatem.io.datasets import load_dataset, save_dataset


@pytest.fixture
def dataset():
    generator = np.random.default_rng(0)
    return xr.Dataset(
        {
            "map": (("y", "x"), generator.random((5, 7)).astype(np.float32)),
            "empty": (("y", "x"), np.full((5, 7), np.nan)),
            "label": (("phase",), np.array(["Fe rich", "µ"])),
        },
        coords={"y": ("y", np.arange(5.0), {"units": "nm"}), "phase": ["one", "two"]},
        attrs={"seed": np.int64(3), "worst": float("nan"), "names": ("a", "b"), "deep": {"k": 1.5}},
    )


def test_round_trip(dataset, tmp_path):
    save_dataset(dataset, tmp_path / "maps.zarr")
    back = load_dataset(tmp_path / "maps.zarr")
    xr.testing.assert_equal(back, dataset)
    assert back["map"].dtype == np.float32
    assert back["y"].attrs == {"units": "nm"}
    assert back.attrs == {"seed": 3, "worst": None, "names": ["a", "b"], "deep": {"k": 1.5}}
    assert [p.name for p in tmp_path.iterdir()] == ["maps.zarr"]


def test_one_file_holds_the_same_as_a_folder(dataset, tmp_path):
    path = tmp_path / "maps.zarr.zip"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_dataset(dataset, path)
        first = path.read_bytes()
        save_dataset(dataset, path)
    save_dataset(dataset, tmp_path / "maps.zarr")
    xr.testing.assert_identical(mlatem.load(path), load_dataset(tmp_path / "maps.zarr"))
    assert path.read_bytes() == first
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    found = {str(p.relative_to(tmp_path / "maps.zarr")) for p in tmp_path.rglob("maps.zarr/**/*")}
    assert len(names) == len(set(names))
    assert set(names) <= found


def test_a_damaged_or_foreign_file(dataset, tmp_path):
    path = tmp_path / "maps.zarr.zip"
    save_dataset(dataset, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StoreError, match="not a readable Zarr dataset"):
        load_dataset(path)
    save_dataset(dataset, path)
    assert path.read_bytes() == whole
    path.write_bytes(b"notes")
    with pytest.raises(StoreError, match="is no Zarr archive"):
        save_dataset(dataset, path)
    path.unlink()
    path.mkdir()
    with pytest.raises(StoreError, match="is no Zarr archive"):
        save_dataset(dataset, path)


def test_metadata_is_strict_json(dataset, tmp_path):
    save_dataset(dataset, tmp_path / "maps.zarr")

    def refuse(token):
        raise AssertionError(token)

    json.loads((tmp_path / "maps.zarr" / "zarr.json").read_text(), parse_constant=refuse)


def test_original_is_left_alone(dataset, tmp_path):
    before = dataset.copy(deep=True)
    save_dataset(dataset, tmp_path / "maps.zarr")
    xr.testing.assert_equal(dataset, before)
    assert dataset["label"].dtype.kind == "U"
    assert isinstance(dataset.attrs["names"], tuple)


def test_no_warnings_also_with_a_time_stamp(dataset, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_dataset(dataset, tmp_path / "maps.zarr")
        (tmp_path / "maps.zarr" / ".snakemake_timestamp").touch()
        load_dataset(tmp_path / "maps.zarr")
        save_dataset(dataset, tmp_path / "maps.zarr")


def test_bad_attribute_leaves_nothing(dataset, tmp_path):
    with pytest.raises(InputError, match="when"):
        save_dataset(dataset.assign_attrs(when=np.datetime64("2020-01-01")), tmp_path / "m.zarr")
    assert list(tmp_path.iterdir()) == []


def test_no_dataset(tmp_path):
    with pytest.raises(StoreError, match="no such dataset"):
        load_dataset(tmp_path / "absent.zarr")
    (tmp_path / "half.zarr").mkdir()
    with pytest.raises(StoreError, match=r"half\.zarr: not a readable"):
        load_dataset(tmp_path / "half.zarr")
