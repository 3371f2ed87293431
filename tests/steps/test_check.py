# SPDX-License-Identifier: GPL-3.0-or-later
"""What a campaign lacks and will need is told before it runs."""

import h5py
import numpy as np
import pytest

from mlatem.io.export import export_hspy
from mlatem.io.projection import BYTES_PER_SECOND, project
from mlatem.io.signals import RawSignals
from mlatem.io.store import write_store
from mlatem.model import Acquisition, SpectrumImage
from mlatem.steps.check import check_campaign, check_store


def image(technique="edxs", shape=(6, 5, 40), **values):
    axes = (0.01 * np.arange(shape[2]), np.arange(float(shape[0])), np.arange(float(shape[1])))
    counts = np.ones(shape, dtype=np.uint8)
    return SpectrumImage(counts, *axes, technique, Acquisition().updated(values, "file"))


@pytest.fixture
def write(tmp_path):
    """Write raw files and a sample sheet with a row for each."""

    def campaign(images, sheet="", columns="", config=""):
        (tmp_path / "config").mkdir()
        (tmp_path / "config" / "config.yaml").write_text(config)
        for number, spectra in enumerate(images):
            write_store(RawSignals((spectra,)), tmp_path / f"{number}.zarr")
            export_hspy(tmp_path / f"{number}.zarr", tmp_path / f"{number}.hspy")
        rows = sheet or "".join(f"d{n}\t{n}.hspy\tO,Si\n" for n in range(len(images)))
        head = f"dataset\tpath\telements{columns}\n"
        (tmp_path / "config" / "datasets.tsv").write_text(head + rows)
        return tmp_path

    return campaign


def test_what_stops_a_dataset_is_a_problem_and_what_is_assumed_a_note(write):
    complete = {"beam_energy_kev": 200.0, "elevation_deg": 18.0}
    folder = write([image(**complete), image(beam_energy_kev=300.0), image(elevation_deg=18.0)])
    found = check_campaign(folder)
    assert len(found.problems) == 1
    assert found.problems[0].startswith("d2: the beam energy is missing")
    assert "beam_energy_kev" in found.problems[0]
    notes = {name: [n for n in found.notes if n.startswith(name)] for name in ("d0", "d1", "d2")}
    assert [len(lines) for lines in notes.values()] == [3, 4, 3]
    assert "absorption of X-rays is not corrected" in notes["d0"][0]
    assert "the dose is not known (beam current, live time)" in notes["d0"][1]
    assert "22 degrees of the configuration are assumed" in notes["d1"][2]
    assert all("conversion will need" in lines[-1] for lines in notes.values())


def test_a_dataset_without_x_rays_is_a_problem(write):
    losses = image("eels", beam_energy_kev=200.0)
    (problem,) = check_campaign(write([losses])).problems
    assert problem.startswith("d0: has no X-ray map, only eels_")


def test_values_of_the_sheet_fill_the_gaps(write):
    folder = write(
        [image()],
        sheet="d0\t0.hspy\tO\t200\t50\t3\t20\t0.2\t30\n",
        columns="\tbeam_energy_kev\tthickness_nm\tdensity_g_cm3\ttake_off_angle_deg"
        "\tbeam_current_na\tlive_time_s",
    )
    found = check_campaign(folder)
    assert found.problems == ()
    assert len(found.notes) == 1


def test_a_thickness_without_density_is_noted(write):
    folder = write(
        [image(beam_energy_kev=200.0, elevation_deg=18.0)],
        sheet="d0\t0.hspy\tO\t50\n",
        columns="\tthickness_nm",
    )
    assert "density is not known" in check_campaign(folder).notes[0]


def test_a_detector_file_is_read_in_the_folder_of_the_campaign(write):
    folder = write(
        [image(beam_energy_kev=200.0)],
        config="edxs: {detector: {efficiency_file: mine.csv}}",
    )
    (problem,) = check_campaign(folder).problems
    assert "mine.csv: cannot be read" in problem
    (folder / "mine.csv").write_text("energy_keV,efficiency\n0.1,0.5\n20,0.5\n")
    assert check_campaign(folder).problems == ()


def test_an_angle_that_a_program_made_up_is_noted(write):
    folder = write([image(beam_energy_kev=200.0)])
    with h5py.File(folder / "0.hspy", "r+") as file:
        tree = file["Experiments/__unnamed__/metadata/Acquisition_instrument/TEM"]
        tree.require_group("Detector/EDS").attrs["elevation_angle"] = 35.0
    assert any("is an assumption of the program" in note for note in check_campaign(folder).notes)


def test_a_conversion_above_the_limit_is_a_problem(write):
    folder = write(
        [image(beam_energy_kev=200.0)], config="convert:\n  memory_limit_gb: 0.0000001\n"
    )
    (problem,) = check_campaign(folder).problems
    assert problem.startswith("d0: ")
    assert "convert.memory_limit_gb" in problem


def test_projection_of_memory_and_time():
    one = project(RawSignals((image(shape=(64, 64, 256)),), resident_bytes=1000))
    assert one.memory_bytes == 1000 + 3 * 64 * 64 * 256
    assert one.count_bytes == 64 * 64 * 256
    assert one.seconds == one.count_bytes / BYTES_PER_SECOND
    both = project(RawSignals((image(shape=(64, 64, 256)), image("eels", (8, 8, 256)))))
    assert both.memory_bytes == 3 * 64 * 64 * 256
    assert both.count_bytes == 64 * 64 * 256 + 8 * 8 * 256


def test_a_store_tells_what_its_quantification_would_lack(tmp_path):
    write_store(RawSignals((image(),)), tmp_path / "s.zarr")
    found = check_store(tmp_path / "s.zarr")
    assert found.problems == ()
    words = " ".join(found.notes)
    for missing in ("thickness_nm", "beam_current_na, live_time_s", "take_off_angle_deg"):
        assert missing in words


@pytest.mark.parametrize(
    ("phase", "words"),
    [
        ("absent: [Fe]", "priors name Fe, but the column elements holds O, Si"),
        ("composition: {O: 30, Si: 30}", "contradict each other"),
        ("regions: {only_in: [{y: [0, 6], x: [0, 6]}]}", "reach out of the map of 6 rows and 5"),
        ("regions: {only_in: rim}", "names region 'rim', but `regions` describes none"),
        ("like: quartz", "is like 'quartz', but the library (no file) holds nothing"),
    ],
)
def test_priors_that_do_not_belong_to_their_dataset_are_a_problem(write, phase, words):
    sheet = "d0\t0.hspy\tO,Si\tpriors.yaml\n"
    folder = write([image(beam_energy_kev=200.0)], sheet, "\tpriors")
    (folder / "priors.yaml").write_text(f"phases: {{grain: {{{phase}}}}}\n")
    (problem,) = check_campaign(folder).problems
    assert problem.startswith("d0: ") and "'grain'" in problem and words in problem


def test_a_geometry_of_the_priors_that_the_sheet_contradicts_is_a_problem(write):
    sheet = "d0\t0.hspy\tO,Si\tpriors.yaml\tcontiguous\n"
    folder = write([image(beam_energy_kev=200.0)], sheet, "\tpriors\tgeometry")
    (folder / "priors.yaml").write_text("geometry: embedded\n")
    (problem,) = check_campaign(folder).problems
    assert problem.startswith("d0: priors say geometry embedded")
    assert "the column geometry says contiguous" in problem
    (folder / "priors.yaml").write_text("geometry: contiguous\n")
    assert check_campaign(folder).problems == ()
    (folder / "priors.yaml").write_text("geometry: inside\n")
    assert "'embedded' or 'contiguous'" in check_campaign(folder).problems[0]


def test_more_named_phases_than_phases_are_a_problem(write):
    sheet = "d0\t0.hspy\tO,Si\tpriors.yaml\t1\n"
    folder = write([image(beam_energy_kev=200.0)], sheet, "\tpriors\tn_phases")
    (folder / "priors.yaml").write_text("phases: {a: {}, b: {}}\n")
    (problem,) = check_campaign(folder).problems
    assert "priors name 2 phases (a, b), but n_phases is 1" in problem
    (folder / "priors.yaml").write_text("phases: {a: {absent: [Si]}}\n")
    assert check_campaign(folder).problems == ()
    (folder / "priors.yaml").unlink()
    assert "no such file" in check_campaign(folder).problems[0]
