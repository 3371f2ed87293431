# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of one acquisition: found beside the one that is named, and checked where several are."""

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest

from mlatem.io import pairing
from mlatem.io.formats.gatan import identity_of
from mlatem.io.identity import Identity, relation
from mlatem.io.read import open_raw
from mlatem.io.signals import RawSignals
from mlatem.io.store import open_store, write_store
from mlatem.io.verdicts import verdicts
from mlatem.model import SpectrumImage
from mlatem.settings import Convert

FOLDER = "SciFiDatasets"
CORE = f"{FOLDER}/DMReader_SpectrumImage_SI-EELS.dm3"
HAADF = f"{FOLDER}/DMReader_SI-HAADF.dm3"
SURVEY = f"{FOLDER}/DMReader_Image_SI-Survey.dm3"
OTHER = "rsciio/digitalmicrograph/3D/EELS_SI.dm4"
TIA = "rsciio/tia/old/16x16-spectrum_image-5x5x1024_1.ser"


@pytest.fixture
def real(test_data):
    def path_of(name):
        if not (test_data / name).is_file():
            pytest.skip(f"{name} is not among the test data")
        return test_data / name

    return path_of


def map_signals(name, kind, identity, shape=(4, 3, 5), pixel=1.0):
    """A file with one map: "edxs", "eels_core" or "eels_lowloss"."""
    start = {"edxs": 0.0, "eels_core": 300.0, "eels_lowloss": -2.0}[kind]
    image = SpectrumImage(
        counts=np.ones(shape),
        energy=start + np.arange(shape[2]),
        y_nm=pixel * np.arange(shape[0]),
        x_nm=pixel * np.arange(shape[1]),
        technique="edxs" if kind == "edxs" else "eels",
        attrs={"pixel_size_nm": [pixel, pixel]},
    )
    return RawSignals((image,), path=name, identity=identity)


SAME = Identity(experiments=frozenset({"Spectrum Imaging_1"}))


def test_real_files_of_one_acquisition_find_each_other(real, tmp_path, caplog):
    real(HAADF), real(SURVEY)
    with caplog.at_level(logging.INFO, "mlatem"):
        signals = open_raw(real(CORE))
    assert signals.group_names == ("eels_core",)
    assert [survey.name for survey in signals.surveys] == ["06-HAADF", "06-SI Survey Image"]
    paired = {s["file"]: s.get("paired_because") for s in signals.sources}
    words = "both are of the experiment 'Spectrum Imaging_12/14/2019_3:14:24 PM'"
    assert paired == {Path(CORE).name: None, Path(HAADF).name: words, Path(SURVEY).name: words}
    assert all("sha256" in source for source in signals.sources)
    assert f"{real(HAADF)}: taken along with {Path(CORE).name}" in caplog.text
    write_store(signals, tmp_path / "s.zarr")
    tree = open_store(tmp_path / "s.zarr")
    assert tree["survey"]["haadf"].attrs["long_name"] == "06-HAADF"
    assert [s.get("paired_because") for s in tree.attrs["source"]] == [None, words, words]


def test_pairing_is_switched_off(real):
    alone = open_raw(real(CORE), settings=Convert(pair_files=False))
    assert alone.surveys == ()
    assert len(alone.sources) == 1
    named = open_raw([real(CORE), real(HAADF)])
    assert [survey.name for survey in named.surveys] == ["06-HAADF"]
    # The energies hold for the map of the file that is named, whatever lies beside it.
    given = open_raw(real(CORE), acquisition_overrides={"energy_offset_kev": 0.3})
    assert given.spectrum_images[0].energy[0] == 300.0


def test_a_file_of_another_acquisition_beside_is_left_alone(real, tmp_path):
    core, other = tmp_path / "07-EELS HL SI.dm3", tmp_path / "07-EELS LL SI.dm4"
    shutil.copy(real(CORE), core)
    shutil.copy(real(OTHER), other)
    shutil.copy(real(HAADF), tmp_path / "08-HAADF.dm3")
    (tmp_path / "07-ADF.dm3").write_bytes(b"damaged")
    assert [p.name for p in pairing.candidates(core)] == ["07-ADF.dm3", other.name]
    signals = open_raw(core)
    assert [source["file"] for source in signals.sources] == [core.name]


def test_named_files_of_two_acquisitions_carry_a_verdict(real):
    signals = open_raw([real(OTHER), real(HAADF)])
    (image,) = signals.spectrum_images
    (sentence,) = image.attrs["warnings"]
    assert "EELS_SI.dm4 and DMReader_SI-HAADF.dm3 are not of one acquisition" in sentence
    assert "'Spectrum Imaging_14/05/2019_20:50:13'" in sentence
    (verdict,) = verdicts(image)
    assert verdict.status == "warning"
    assert "warnings" not in open_raw([real(CORE), real(HAADF)]).spectrum_images[0].attrs


def test_tia_files_of_one_emi_belong_together(real, tmp_path):
    source = real(TIA)
    first, second = tmp_path / "a_1.ser", tmp_path / "a_2.ser"
    for copy in (first, second):
        shutil.copy(source, copy)
    assert pairing.candidates(first) == []
    shutil.copy(real(TIA.replace("_1.ser", ".emi")), tmp_path / "a.emi")
    assert pairing.candidates(first) == [second]
    one, two = (open_raw(p, settings=Convert(pair_files=False)) for p in (first, second))
    assert relation(one.identity, two.identity) == ("same", "one names the other")
    # Both are maps of one kind, so that there is doubt which is meant.
    assert open_raw(first).group_names == one.group_names


def test_identity_of_tags():
    uid = dict(zip("0123", (1, 2, 3, 4), strict=True))
    tree = {
        "ImageList": {
            "TagGroup0": {
                "UniqueID": {f"Data{i}": 5 for i in range(4)},
                "ImageTags": {
                    "Meta Data": {"Experiment keywords": {"TagGroup0": {"Experiment ID": "A_1"}}},
                    "EELS": {"Acquisition": {"Dual acquire sibling": {"UID": uid}}},
                    "SI": {"Acquisition": {"Date": "1/2/2020", "Start time": "10:00:00"}},
                },
            }
        }
    }
    assert identity_of([tree]) == Identity(
        frozenset({"A_1"}), frozenset({"5-5-5-5"}), frozenset({"1-2-3-4"}), "1/2/2020 10:00:00"
    )
    assert identity_of([{}]) == Identity()


def test_relations():
    core = Identity(own=frozenset({"1"}), points_to=frozenset({"2"}), started="10:00")
    assert relation(core, Identity(own=frozenset({"2"})))[0] == "same"
    assert relation(Identity(own=frozenset({"2"})), core)[0] == "same"
    assert relation(core, Identity(started="11:00"))[0] == "other"
    assert relation(core, Identity(started="10:00"))[0] == "unknown"
    assert relation(core, None)[0] == "unknown"
    assert relation(SAME, SAME)[0] == "same"
    assert relation(SAME, Identity(experiments=frozenset({"Spectrum Imaging_2"})))[0] == "other"


def test_only_what_leaves_no_doubt_is_paired():
    named = map_signals("core", "eels_core", SAME)
    low = map_signals("low", "eels_lowloss", SAME)
    xrays = map_signals("eds", "edxs", SAME)

    def paired(*found):
        return [signals.path for signals, _ in pairing.companions_of(named, found)]

    assert paired(low, xrays) == ["low", "eds"]
    assert paired(low, map_signals("low again", "eels_lowloss", SAME), xrays) == ["eds"]
    assert paired(map_signals("core again", "eels_core", SAME)) == []
    assert paired(map_signals("cropped", "eels_lowloss", SAME, shape=(2, 3, 5))) == []
    assert paired(map_signals("binned", "eels_lowloss", SAME, pixel=2.0)) == []
    assert paired(map_signals("unknown", "eels_lowloss", Identity())) == []


@pytest.mark.parametrize(
    ("one", "other", "is_equal"),
    [
        ("EELS Spectrum Image (high-loss)", "EELS Spectrum Image (low-loss)", True),
        ("EELS HL SI", "EELS LL SI", True),
        ("EELS HL SI", "ADF Image (SI Survey)", True),
        ("EDS Spectrum Image", "SI HAADF", True),
        ("03-EELS HL SI", "03-HAADF", True),
        ("03-EELS HL SI", "04-HAADF", False),
        ("EELS HL SI", "EELS LL SI (aligned)", False),
        ("wedge EELS HL SI", "wall EELS LL SI", False),
    ],
)
def test_names(one, other, is_equal):
    stems = [pairing.stem_of(Path(f"{name}.dm4")) for name in (one, other)]
    assert (stems[0] == stems[1]) is is_equal
