# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mlatem.errors import ConfigError
from mlatem.sheet import DatasetRow, read_sheet

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_lines(*lines: str, encoding: str = "utf-8") -> Path:
        path = tmp_path / "datasets.tsv"
        path.write_text("\n".join(lines) + "\n", encoding=encoding)
        return path

    return write_lines


def test_rows_by_name(write: Write):
    path = write(
        "dataset\tpath\telements\toperator",
        "# a remark",
        "",
        "steel\traw/a.emd\tFe,Cr\tAnna Å",
        "oxide-2\traw/b.bcf",
    )
    rows = read_sheet(path)
    assert list(rows) == ["steel", "oxide-2"]
    assert rows["steel"]["operator"] == "Anna Å"
    assert rows["oxide-2"] == {
        "dataset": "oxide-2",
        "path": "raw/b.bcf",
        "elements": "",
        "operator": "",
    }


def test_sheet_as_spreadsheets_write_it(write: Write):
    # Byte order mark, carriage returns, quotes around cells that hold a comma.
    path = write("dataset\tpath\telements\r", 'a\tx.emd\t"O,Si"\r', encoding="utf-8-sig")
    assert read_sheet(path)["a"]["elements"] == "O,Si"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ((), "is empty"),
        (("# only a remark",), "is empty"),
        (("dataset\tpath",), "has no datasets"),
        (("dataset path",), "lacks the column 'dataset'"),
        (("dataset\tfile", "a\tx"), "lacks the column 'path'"),
        (("dataset\tpath\tpath", "a\tx\ty"), "two columns 'path'"),
        (("dataset\tpath\tthickness", "a\tx\t9"), "'thickness' looks like 'thickness_nm'"),
        (("dataset\tpath\tElements", "a\tx\tFe"), "'Elements' looks like 'elements'"),
        (("dataset\tpath", "# remark", "a\tx\ty"), "line 3: 3 cells for 2 columns"),
        (("dataset\tpath", "", "a\tx", "a\ty"), "line 4: dataset a is named twice"),
        (("dataset\tpath", "\tx.emd"), "line 2: dataset name ''"),
        (("dataset\tpath", "../a\tx.emd"), "line 2: dataset name '../a'"),
    ],
)
def test_bad_sheet(write: Write, lines: tuple[str, ...], message: str):
    path = write(*lines)
    with pytest.raises(ConfigError) as caught:
        read_sheet(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_missing_sheet(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"none\.tsv is missing"):
        read_sheet(tmp_path / "none.tsv")


def test_folder_instead_of_a_sheet(tmp_path: Path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_sheet(tmp_path)


def test_sheet_that_is_no_text(tmp_path: Path):
    path = tmp_path / "datasets.tsv"
    path.write_bytes(b"PK\x03\x04\xff\xfe\x80")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_sheet(path)


def test_metadata_of_ones_own_is_carried_along(write: Write):
    rows = read_sheet(write("dataset\tpath\tholder\tproposal_title", "a\tx\tB12\tAlloys"))
    row = DatasetRow.from_strings(rows["a"])
    assert row.model_extra == {"holder": "B12", "proposal_title": "Alloys"}


def test_typed_row():
    row = DatasetRow.from_strings(
        {
            "dataset": "a",
            "path": "raw/1.emd; raw/2.emd ",
            "elements": "O, Si,Fe",
            "n_phases": "3",
            "thickness_nm": "80",
            "beam_energy_kev": " ",
        }
    )
    assert row.path == ("raw/1.emd", "raw/2.emd")
    assert row.elements == ("O", "Si", "Fe")
    assert row.system_elements is None
    assert row.n_phases == 3
    given = {name: value for name, value in row.acquisition.items() if value is not None}
    assert given == {"thickness_nm": 80.0}


def test_axes_of_files_without_calibration():
    cells = {"energy_scale_kev": "0.01", "energy_offset_kev": "-0.47", "signal_type": "EDS_SEM"}
    row = DatasetRow.from_strings({"dataset": "a", "path": "x.rpl", **cells})
    assert row.axes == {
        "signal_type": "EDS_SEM",
        "energy_scale_kev": 0.01,
        "energy_offset_kev": -0.47,
        "pixel_size_nm": None,
    }


def test_number_of_phases_may_be_automatic():
    assert DatasetRow.from_strings({"dataset": "a", "path": "x", "n_phases": "auto"}).n_phases == (
        "auto"
    )


@pytest.mark.parametrize(
    ("column", "cell", "message"),
    [
        ("elements", "O,Xx", "unknown element 'Xx'"),
        ("elements", "Fe,O,Fe", "Fe is listed twice"),
        ("elements", "Fe;O", "unknown element 'Fe;O'"),
        ("system_elements", "cu", "unknown element 'cu'"),
        ("path", " ; ", "path is empty"),
        ("n_phases", "0", "greater than or equal to 1"),
        ("n_phases", "few", "'auto'"),
        ("thickness_nm", "-5", "greater than 0"),
        ("thickness_nm", "12,5", "valid number"),
        ("density_g_cm3", "nan", "finite"),
        ("beam_energy_kev", "inf", "finite"),
        ("take_off_angle_deg", "120", "less than or equal to 90"),
        ("technique", "xrd", "'edxs'"),
        ("energy_scale_kev", "-0.01", "greater than 0"),
        ("energy_offset_kev", "nan", "finite"),
        ("pixel_size_nm", "0", "greater than 0"),
        ("signal_type", "EDX", "'EDS_TEM' or 'EDS_SEM'"),
    ],
)
def test_bad_cell_names_dataset_column_and_value(column: str, cell: str, message: str):
    with pytest.raises(ConfigError) as caught:
        DatasetRow.from_strings({"dataset": "steel", "path": "x.emd", column: cell})
    text = str(caught.value)
    assert text.startswith(f"dataset steel: {column}: ")
    assert message in text
    assert f"found {cell.strip()!r}" in text
    assert "Value error" not in text
    assert text.count(f"{column}:") == 1


def test_several_bad_cells_are_told_at_once():
    with pytest.raises(ConfigError) as caught:
        DatasetRow.from_strings({"dataset": "a", "path": "x", "elements": "Q", "n_phases": "-1"})
    assert "unknown element 'Q'" in str(caught.value)
    assert "n_phases" in str(caught.value)


def test_row_without_a_file():
    with pytest.raises(ConfigError, match="dataset a: path: Field required"):
        DatasetRow.from_strings({"dataset": "a", "path": ""})


def test_element_in_specimen_and_instrument_contradicts():
    with pytest.raises(ConfigError, match="Cu is named in both elements and system_elements"):
        DatasetRow.from_strings(
            {"dataset": "a", "path": "x", "elements": "Al,Cu", "system_elements": "Cu"}
        )
