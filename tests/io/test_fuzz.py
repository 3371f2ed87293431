# SPDX-License-Identifier: GPL-3.0-or-later
"""Damaged files are read or refused, and nothing else; a short benchmarks/fuzz_readers.py."""

import json
import os
import subprocess
import sys
from pathlib import Path

import fuzz_readers
import numpy as np
import pytest

from mlatem.errors import ReadError
from mlatem.io.formats.bruker import check_stream
from mlatem.io.formats.bruker_container import check_container
from mlatem.io.formats.hdf5_heaps import check_heaps

CASES = 10
NEEDS_NO_DATA = [name for name, target in fuzz_readers.TARGETS.items() if target.write]


@pytest.fixture(scope="module")
def report():
    root = Path(fuzz_readers.__file__).parents[1]
    data = os.environ.get("MLATEM_TEST_DATA", str(root.parent / "shared" / "data"))
    command = [sys.executable, fuzz_readers.__file__, "--n", str(CASES), "--jobs", "2", "--json"]
    environment = {**os.environ, "MLATEM_TEST_DATA": data, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, timeout=600
    )
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("target", list(fuzz_readers.TARGETS))
def test_damaged_files_are_read_or_refused(target, report):
    outcomes = report["outcomes"][target]
    if not outcomes and target not in NEEDS_NO_DATA:
        pytest.skip(f"the file of {target} is not among the test data")
    assert not [fault for fault in report["faults"] if fault["target"] == target]
    assert sum(outcomes.values()) == CASES
    assert outcomes["refused"] > 0


def test_cases_depend_on_their_number_only():
    content = bytes(range(256)) * 10
    made = [fuzz_readers.damaged(content, np.random.default_rng([1, 2])) for _ in range(2)]
    assert made[0] == made[1]
    others = {fuzz_readers.damaged(content, np.random.default_rng([1, k])) for k in range(50)}
    assert len(others) == 50


def _runs(*pixels, n_lines=1):
    """A map of one line of pixels (column, packing, pulses, spectrum)."""
    stream = np.array([n_lines, 0], "<u4").tobytes().ljust(0x1A0, b"\0")
    stream += np.array([len(pixels)], "<u4").tobytes()
    for column, packing, n_pulses, spectrum in pixels:
        size = len(spectrum) + (4 if packing > 1 else 0)
        stream += np.array([column], "<u4").tobytes() + bytes(8)
        stream += np.array([packing, 0, n_pulses], "<u2").tobytes()
        stream += np.array([size], "<u4").tobytes() + spectrum
        stream += bytes(4 + 2 * n_pulses if packing > 1 else 0)
    return stream


RUN = bytes([1, 4, 2, 0x21, 0x43])


@pytest.mark.parametrize(
    "pixels",
    [
        [(0, 2, 0, RUN), (1, 2, 3, RUN + bytes([0, 9]))],
        [(2, 0, 2, bytes(4)), (1, 1, 4, bytes(6))],
        [(0, 1, 1, bytes(2)), (0, 1, 0, b"")],
    ],
)
def test_whole_packed_spectra_pass(pixels):
    stream = _runs(*pixels)
    check_stream("a.bcf", [stream], len(stream), 1, 3)
    with pytest.raises(ReadError, match="contradict themselves at byte"):
        check_stream("a.bcf", [stream[:-1]], len(stream), 1, 3)


@pytest.mark.parametrize(
    "stream",
    [
        _runs((3, 2, 0, RUN)),  # a column outside of the map
        _runs((0, 2, 0, RUN), n_lines=2),  # more lines than the map has
        _runs((0, 2, 0, RUN[:-1])),  # a run that ends behind its spectrum
        _runs((0, 2, 0, bytes([3, 2, 0, 0, 0, 0, 0, 0]))),  # a width that does not exist
        _runs((0, 0, 3, bytes(4))),  # more pulses than their bytes
        _runs((0, 1, 5, bytes(7))),
        bytes(8),
    ],
)
def test_packed_spectra_that_contradict_themselves(stream):
    with pytest.raises(ReadError, match=r"a\.bcf: its packed spectra contradict themselves"):
        check_stream("a.bcf", [stream], 4096, 1, 3)


def test_packed_spectra_with_a_block_of_another_length():
    with pytest.raises(ReadError, match="contradict themselves at block 1 of 3"):
        check_stream("a.bcf", [bytes(64), bytes(63), bytes(64)], 64, 1, 1)


def _container(parents, *, chunk_size=0x1000, sizes=None):
    content = bytearray(0x2000)
    content[0x128:0x12C] = np.array([chunk_size], "<u4").tobytes()
    content[0x140:0x148] = np.array([1, len(parents)], "<u4").tobytes()
    for index, parent in enumerate(parents):
        start = 0x1138 + 0x200 * index
        content[start + 4 : start + 12] = np.array([(sizes or {}).get(index, 9)], "<u8").tobytes()
        content[start + 40 : start + 44] = np.array([parent], "<i4").tobytes()
    return bytes(content)


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        ({"parents": [1, 0]}, "a folder lies in entry"),
        ({"parents": [-2]}, "a folder lies in entry -2 of 1"),
        ({"parents": [7]}, "a folder lies in entry 7 of 1"),
        ({"parents": [-1], "sizes": {0: 10**6}}, "an entry of 1000000 bytes"),
        ({"parents": [-1], "chunk_size": 0}, "chunks of 0 bytes"),
    ],
)
def test_damaged_table_of_contents(tmp_path, arguments, cause):
    path = tmp_path / "a.bcf"
    path.write_bytes(_container(**arguments))
    with pytest.raises(ReadError, match=f"table of contents is damaged: {cause}"):
        check_container(path)


def test_sound_table_of_contents(tmp_path):
    path = tmp_path / "a.bcf"
    path.write_bytes(_container([-1, 0, 0, 1, 3, -1, -1]))
    check_container(path)


def test_hdf5_texts_without_end(tmp_path):
    path = tmp_path / "a.emd"
    heap = b"GCOL\x01\0\0\0" + np.array([64], "<u8").tobytes()
    text = np.array([1, 1, 0, 0], "<u2").tobytes() + np.array([8], "<u8").tobytes() + bytes(8)
    rest = bytes(8) + np.array([24], "<u8").tobytes() + bytes(8)
    path.write_bytes(bytes(99) + heap + text + rest)
    check_heaps(path)
    path.write_bytes(bytes(99) + heap + text + bytes(24))
    with pytest.raises(ReadError, match=r"texts that begin at byte 99 .* have no end"):
        check_heaps(path)
