# SPDX-License-Identifier: GPL-3.0-or-later
"""What the files hold of the acquisition arrives: compared with the vendors' own trees."""

import math

import numpy as np
import pytest

from mlatem.io.formats.mapping import tag
from mlatem.io.read import open_raw
from mlatem.settings import Convert

VELOX = "rsciio/emd/velox_emd_version11/Test SI 16x16 215 kx.emd"
VELOX_EELS = "rsciio/emd/velox_EELS_EDS/example_velox_EELS_EDS.emd"
TILTED = "hyperspy-1.7.6-wheel/fei_SI_SuperX-HAADF_10frames_10x50.emd"
BRUKER = "rsciio/bruker/bcf_v2_50x50px.bcf"
BRUKER_TEM = "openNCEM/L2083_tilt_0.bcf"
JEOL = "rsciio/jeol/Sample/00_View000/View000_0000006.pts"
GATAN = "rsciio/digitalmicrograph/3D/EELS_SI.dm4"
TIA = "rsciio/tia/old/16x16-spectrum_image-5x5x1024.emi"
TIA_ALONE = "rsciio/tia/new/16x16-diffraction_imagel_5x5x256x256_EDS_1.ser"


@pytest.fixture
def opened(test_data):
    def open_file(name):
        if not (test_data / name).is_file():
            pytest.skip(f"{name} is not among the test data")
        return open_raw(test_data / name, settings=Convert(hash_inputs=False, pair_files=False))

    return open_file


def numbers_of(signals, index=0):
    acquisition = signals.spectrum_images[index].acquisition
    return {name: value.value for name, value in acquisition.items() if value.origin == "file"}


@pytest.mark.parametrize("name", [VELOX, TILTED])
def test_velox(name, opened):
    signals = opened(name)
    tree = signals.original_metadata["EDS"]
    found = numbers_of(signals)
    expected = {
        "beam_energy_kev": float(tree["Optics"]["AccelerationVoltage"]) / 1e3,
        "beam_current_na": float(tree["Optics"]["LastMeasuredScreenCurrent"]) * 1e9,
        "stage_tilt_deg": math.degrees(float(tree["Stage"]["AlphaTilt"])),
        "dwell_time_s": float(tree["Scan"]["DwellTime"]),
    }
    if "BeamConvergence" in tree["Optics"]:
        expected["convergence_mrad"] = 1e3 * float(tree["Optics"]["BeamConvergence"])
    for key, value in expected.items():
        assert found[key] == pytest.approx(value, abs=1e-4), key
    start = int(tree["Acquisition"]["AcquisitionStartDatetime"]["DateTime"])
    assert np.datetime64(found["date"][:19]).astype(int) == start
    assert tree["Instrument"]["InstrumentClass"] in found["microscope"]


def test_velox_eels(opened):
    signals = opened(VELOX_EELS)
    tree = signals.original_metadata["EELS"]
    angle = tree["CustomProperties"]["EnergyFilter.CollectionAngleRange.End"]["value"]
    for index in (1, 2, 3):
        found = numbers_of(signals, index)
        assert found["collection_mrad"] == pytest.approx(1e3 * float(angle))
        assert found["date"] == numbers_of(signals)["date"]


@pytest.mark.parametrize("name", [BRUKER, BRUKER_TEM])
def test_bruker(name, opened):
    signals = opened(name)
    tree = signals.original_metadata["EDX"]
    found = numbers_of(signals)
    scan, spectrum = tree["DSP Configuration"], tree["Spectrum"]
    assert found["beam_energy_kev"] == tree["Microscope"]["HV"]
    assert found["elevation_deg"] == tree["Analysis"]["ElevationAngle"]
    assert found["azimuth_deg"] == tree["Analysis"]["AzimutAngle"]
    assert found["detector"] == tree["Detector"]["Type"]
    dwell = scan["PixelTime"] * scan["PixelAverage"] * scan["LineAverage"] * 1e-6
    assert found["dwell_time_s"] == pytest.approx(dwell)
    # The real time is that of the lines that were scanned, the last frame may be a part of one.
    ny, nx, _ = signals.spectrum_images[0].shape
    frames = found["real_time_s"] / (found["dwell_time_s"] * ny * nx)
    assert found["n_frames"] - 1 <= frames <= found["n_frames"] + 1e-6
    sigma = math.sqrt(spectrum["SigmaAbs"] + 5.895 * spectrum["SigmaLin"])
    assert found["energy_resolution_ev"] == pytest.approx(2354.82 * sigma, rel=1e-4)
    assert 120 < found["energy_resolution_ev"] < 145


def test_jeol(opened):
    signals = opened(JEOL)
    (tree,) = signals.original_metadata.values()
    found = numbers_of(signals)
    clocks = tree["PTTD Data"]["AnalyzableMap MeasData"]["Doc"]
    column = tree["PTTD Param"]["Params"]["PARAMPAGE0_SEM"]
    assert found["live_time_s"] == clocks["LiveTime"]
    assert found["real_time_s"] == clocks["RealTime"]
    assert found["dwell_time_s"] == pytest.approx(clocks["DwellTime(msec)"] / 1e3, rel=1e-6)
    assert found["n_frames"] == clocks["Sweep"]
    assert found["elevation_deg"] == pytest.approx(float(column["ElevAng"]), rel=1e-6)
    assert found["take_off_angle_deg"] == pytest.approx(float(column["TakeAng"]), rel=1e-6)
    assert found["energy_resolution_ev"] == column["MnKaRES"]
    assert found["microscope"] == column["SEM"]


def test_gatan(opened):
    signals = opened(GATAN)
    (tree,) = signals.original_metadata.values()
    found = numbers_of(signals)
    for name, place in {
        "convergence_mrad": "EELS.Experimental Conditions.Convergence semi-angle (mrad)",
        "collection_mrad": "EELS.Experimental Conditions.Collection semi-angle (mrad)",
        "stage_tilt_deg": "Microscope Info.Stage Position.Stage Alpha",
        "dwell_time_s": "SI.Acquisition.Pixel time (s)",
        "microscope": "Session Info.Microscope",
    }.items():
        assert found[name] == tag(tree, f"ImageList.TagGroup0.ImageTags.{place}"), name


def test_tia(opened):
    signals = opened(TIA)
    (tree,) = signals.original_metadata.values()
    found = numbers_of(signals)
    volts = tag(tree, "ObjectInfo.ExperimentalConditions.MicroscopeConditions.AcceleratingVoltage")
    assert found["beam_energy_kev"] == float(volts) / 1e3
    assert found["date"] == "2016-02-22T11:55:58"
    # Without its .emi file a .ser file knows only when it was written.
    assert numbers_of(opened(TIA_ALONE)) == {"date": "2016-02-22T19:21:08+00:00"}


def test_values_that_exspy_invented_in_a_real_file_are_not_the_files(opened):
    acquisition = opened("nist-tutorial/core_shell.hspy").spectrum_images[0].acquisition
    for name in ("elevation_deg", "azimuth_deg", "energy_resolution_ev"):
        assert acquisition[name].origin == "default"
    assert acquisition["beam_energy_kev"].origin == "file"
