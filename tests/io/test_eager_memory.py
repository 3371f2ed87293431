# SPDX-License-Identifier: GPL-3.0-or-later
"""Formats that are decoded whole: refused above the limit before that, and projected truly."""

import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import small_samples

from mlatem.errors import MemoryLimitError
from mlatem.io.read import open_raw
from mlatem.settings import Convert

BRUKER = "openNCEM/L2083_tilt_0.bcf"
#: Of libraries, the image and the file itself.
TOLERANCE_MB = 80.0

CHILD = """
import json, re, sys
from pathlib import Path
from mlatem.io.projection import project
from mlatem.io.read import open_raw
from mlatem.io.store import write_store

def memory_mb(key):
    return int(re.search(key + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1e3

raw, small, folder = map(Path, sys.argv[1:])
write_store(open_raw(small), folder / "small.zarr")  # loads and compiles whatever is needed
Path("/proc/self/clear_refs").write_text("5")
before = memory_mb("VmRSS")
signals = open_raw(raw)
projected = project(signals).memory_bytes / 1e6
write_store(signals, folder / "spim.zarr")
print(json.dumps([projected, memory_mb("VmHWM") - before]))
"""


def counts_of(size):
    return np.random.default_rng(1).poisson(0.1, (size, size, 1024)).astype("<u2")


def contiguous_hspy(path, counts):
    with h5py.File(path, "w") as file:
        file.attrs.update(file_format="HyperSpy", file_format_version="3.3")
        group = file.create_group("Experiments/map")
        group["data"] = counts
        for number, (name, units) in enumerate((("y", "nm"), ("x", "nm"), ("Energy", "keV"))):
            group.create_group(f"axis-{number}").attrs.update(
                _type="UniformDataAxis", name=name, scale=0.01, offset=0.0,
                size=counts.shape[number], units=units, navigate=number < 2,
            )  # fmt: skip
        group.create_group("metadata/Signal").attrs["signal_type"] = "EDS_TEM"
        group.create_group("original_metadata")
    return path


def compressed_prz(path, counts):
    return small_samples.write_prz(path, counts, compressed=True, **{"filter.mode": "EELS"})


def files(kind, test_data, folder):
    """A file of a kind of some 130 MB of counts, and a small one."""
    if kind == "bcf":
        names = BRUKER, "rsciio/bruker/16x16_12bit_packed_8bit.bcf"
        if not all((test_data / name).is_file() for name in names):
            pytest.skip(f"{names} are not among the test data")
        return tuple(test_data / name for name in names)
    write = {"hspy": contiguous_hspy, "prz": compressed_prz}[kind]
    return tuple(write(folder / f"{n}.{kind}", counts_of(n)) for n in (256, 8))


@pytest.mark.parametrize("kind", ["bcf", "hspy", "prz"])
def test_refused_before_anything_is_decoded(kind, request, tmp_path):
    data = request.getfixturevalue("test_data") if kind == "bcf" else None
    raw, _ = files(kind, data, tmp_path)
    with pytest.raises(MemoryLimitError) as caught:
        open_raw(raw, settings=Convert(memory_limit_gb=0.1))
    words = str(caught.value)
    assert words.startswith(f"{raw}: conversion is projected to need 0.")
    assert "more than the limit of 0.1 GB. Raise convert.memory_limit_gb" in words


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux")
@pytest.mark.parametrize("kind", ["bcf", "hspy", "prz"])
def test_peak_is_the_projected_one(kind, request, tmp_path):
    data = request.getfixturevalue("test_data") if kind == "bcf" else None
    raw, small = files(kind, data, tmp_path)
    command = [sys.executable, "-c", CHILD, str(raw), str(small), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    projected, measured = json.loads(done.stdout.splitlines()[-1])
    assert measured <= projected + TOLERANCE_MB
    assert measured >= 0.4 * projected
