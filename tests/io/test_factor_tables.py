# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from mlatem.errors import InputError
from mlatem.io.factor_tables import read_factor_table, write_factor_table
from mlatem.model import Factor, FactorTable

HEAD = "element,line,kind,value,sigma,beam_energy_kev,reference_element,reference_line\n"


def test_a_table_is_read_back_to_the_last_digit(tmp_path):
    table = FactorTable(
        (
            Factor("Ti", "Ka", "k", 1.1, 1 / 3, 200.0, "1", "atom", "Si", "K", 'a, "b"'),
            Factor("O", "K", "zeta", 1e3 / 7, None, 200.0, "kg/m2"),
        ),
        "std.csv",
    )
    write_factor_table(table, tmp_path / "std.csv")
    assert read_factor_table(tmp_path / "std.csv") == table


def test_a_table_by_hand_needs_few_columns(tmp_path):
    path = tmp_path / "hand.csv"
    path.write_text(f"# from the vendor\n{HEAD}Sr,Sr K\u03b1,k,4.3,,200,Si,K\n", encoding="utf-8")
    (factor,) = read_factor_table(path).factors
    assert (factor.line, factor.sigma, factor.unit, factor.basis) == ("Ka", None, "1", "weight")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty: its first line must name the columns"),
        (HEAD, "has no rows"),
        ("element,line\nTi,K\n", "lacks the column kind, value, beam_energy_kev"),
        (f"elements,{HEAD}", "unknown column 'elements': did you mean element"),
        (f"{HEAD[:-1]},line\n", "two columns 'line'"),
        (f"{HEAD}Ti,K,k,1.2\n", "line 2: 4 cells for 8 columns"),
        (f"{HEAD}Ti,K,k,many,,200,Si,K\n", "line 2: value is 'many': expected a number"),
        (f"{HEAD}\n#\nTi,K,k,-1,,200,Si,K\n", "line 4: k of Ti K is -1.0"),
        (f"{HEAD},K,k,1,,200,Si,K\n", "line 2: element is empty"),
        (f"{HEAD}Tj,K,k,1,,200,Si,K\n", "line 2: unknown element 'Tj'"),
        (f"{HEAD}Ti,Q,k,1,,200,Si,K\n", "line 2: unknown line 'Q'"),
        (
            f"{HEAD}Ti,K,k,1,,200,Si,K\nO,K,k,1,,200,Si,K\nTi,Ka,k,1,,200,Si,K\n",
            "lines 2 and 4: k of Ti K at 200 keV is defined twice",
        ),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_with_file_and_line(text, message, tmp_path):
    path = tmp_path / "bad.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message) as caught:
        read_factor_table(path)
    assert "bad.csv" in str(caught.value)


def test_a_missing_or_binary_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="is missing"):
        read_factor_table(tmp_path / "none.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not UTF-8"):
        read_factor_table(tmp_path / "binary.csv")
    with pytest.raises(InputError, match="cannot be read"):
        read_factor_table(tmp_path)
