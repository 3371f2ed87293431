# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pandas as pd
import pytest

from mlatem.errors import StoreError
from mlatem.io.datasets import load_dataset
from mlatem.io.read import open_raw, read
from mlatem.io.store import load_spectrum_image, load_survey
from mlatem.simulation.specimen import simulate
from mlatem.simulation.write import write_simulation
from mlatem.specimen import Simulate


@pytest.fixture(scope="module")
def simulation():
    settings = Simulate(
        name="quartz",
        description="a crystal",
        phases=(
            {"name": "quartz", "atomic_percent": {"O": 66.7, "Si": 33.3}},
            {"name": "iron", "atomic_percent": {"Fe": 100}, "shape": {"kind": "grains"}},
        ),
        n_rows=20,
        n_columns=18,
        n_channels=512,
        pixel_nm=2.5,
        beam_energy_kev=120.0,
    )
    return simulate(settings)


@pytest.fixture(scope="module")
def folder(simulation, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out") / "raw"
    paths = write_simulation(simulation, folder, name="map")
    assert [path.name for path in paths] == [
        "map.hspy",
        "map.zarr",
        "map_truth.zarr",
        "map_truth.csv",
    ]
    assert sorted(path.name for path in folder.iterdir()) == sorted(p.name for p in paths)
    return folder


def test_hspy_through_the_reader(simulation, folder):
    tree = read(folder / "map.hspy")
    edxs = tree["edxs"]
    np.testing.assert_array_equal(edxs["counts"].values, simulation.image.counts)
    np.testing.assert_allclose(edxs["energy"], simulation.image.energy)
    np.testing.assert_allclose(edxs["x"], simulation.image.x_nm)
    np.testing.assert_array_equal(tree["survey/haadf"].values, simulation.haadf.values)
    acquisition = open_raw(folder / "map.hspy").spectrum_images[0].acquisition
    assert acquisition.number("beam_energy_kev") == 120.0
    assert acquisition.number("elevation_deg") == 22.0
    assert acquisition.number("live_time_s") == 600.0
    assert {entry.origin for entry in acquisition.values()} == {"file"}


def test_hspy_through_the_reader_of_hyperspy(simulation, folder):
    hspy = pytest.importorskip("rsciio.hspy")
    signals = {s["metadata"]["General"]["title"]: s for s in hspy.file_reader(folder / "map.hspy")}
    assert set(signals) == {"map", "HAADF"}
    signal = signals["map"]
    np.testing.assert_array_equal(signal["data"], simulation.image.counts)
    assert [axis["name"] for axis in signal["axes"]] == ["y", "x", "Energy"]
    assert [axis["navigate"] for axis in signal["axes"]] == [True, True, False]
    assert signal["axes"][2]["scale"] == pytest.approx(0.01)
    metadata = signal["metadata"]
    assert metadata["Signal"]["signal_type"] == "EDS_TEM"
    assert metadata["Acquisition_instrument"]["TEM"]["Detector"]["EDS"]["elevation_angle"] == 22.0
    assert list(metadata["Sample"]["elements"]) == ["O", "Si", "Fe"]


def test_store_holds_the_same(simulation, folder):
    image = load_spectrum_image(folder / "map.zarr")
    np.testing.assert_array_equal(image.counts[:], simulation.image.counts)
    assert image.acquisition.number("beam_energy_kev") == 120.0
    np.testing.assert_array_equal(load_survey(folder / "map.zarr").values, simulation.haadf.values)


def test_truth(simulation, folder):
    truth = load_dataset(folder / "map_truth.zarr")
    for name in simulation.truth.data_vars:
        np.testing.assert_array_equal(truth[name], simulation.truth[name])
    assert truth.attrs["specimen"]["description"] == "a crystal"
    table = pd.read_csv(folder / "map_truth.csv")
    assert list(table.columns) == ["phase", "element", "atomic_percent"]
    assert table.groupby("phase")["atomic_percent"].sum().tolist() == pytest.approx([100, 100])


def test_folder_that_cannot_be(simulation, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(StoreError, match="file: a file, not a folder"):
        write_simulation(simulation, blocked)
