# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts the raw files of the demo campaign into raw/: three real ones and two simulated ones.

The real files are test data of HyperSpy 1.7.6 (GPL-3.0), taken out of its wheel, which pip
downloads from the registry that it is set up for. What is true of the simulated specimens lies
beside their files.
"""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
RAW = HERE / "raw"
WHEEL = "hyperspy==1.7.6"
WHEEL_VARIABLE = "MLATEM_DEMO_WHEEL"
IN_WHEEL = "hyperspy/tests/io"

#: Name in the wheel (zip inside it after "!"), SHA-256.
FILES = {
    f"{IN_WHEEL}/emd_files/fei_emd_files.zip!fei_SI_EDS-HAADF-4detectors_2frames.emd": (
        "bb49364996ff2036a3f43e285c6b2bd4d509658ea06d1cd65742646167bdb47e"
    ),
    f"{IN_WHEEL}/emd_files/fei_emd_files.zip!fei_SI_SuperX-HAADF_10frames_10x50.emd": (
        "dcd0695b0e654695853c71100e68df8f030297abb61ccab86e0f190ad1ce5b28"
    ),
    f"{IN_WHEEL}/bruker_data/test_TEM.bcf": (
        "529ae0de6de470d48c9cceabfdc505237669b09ef52b5038045fabcfde75fa92"
    ),
}

#: Name of the simulated file, description of its specimen.
SPECIMENS = {"simulated": "specimen.yaml", "inclusions": "inclusions.yaml"}


def main() -> None:
    """Fetch what is missing and simulate the specimens."""
    RAW.mkdir(exist_ok=True)
    missing = {name: digest for name, digest in FILES.items() if not _is_there(name, digest)}
    if missing:
        with tempfile.TemporaryDirectory() as folder:
            _extract(_wheel(Path(folder)), missing)
    _simulate()


def _target(name: str) -> Path:
    return RAW / name.replace("!", "/").rsplit("/", 1)[1]


def _is_there(name: str, digest: str) -> bool:
    path = _target(name)
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == digest


def _wheel(folder: Path) -> Path:
    given = os.environ.get(WHEEL_VARIABLE)
    if given:
        return Path(given)
    print(f"Downloading {WHEEL} (33 MB) for its microscope files")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary", ":all:", "--python-version", "3.11", "--implementation", "cp"]
    command += ["--platform", "manylinux2014_x86_64", "--dest", str(folder), WHEEL]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        reason = (done.stderr.strip().splitlines() or ["no wheel came"])[-1]
        sys.exit(
            f"error: the demo's microscope files could not be downloaded ({reason}). Connect to a "
            f"network, or fetch the wheel of {WHEEL} elsewhere and set {WHEEL_VARIABLE} to its path"
        )
    return wheels[0]


def _extract(wheel: Path, files: dict[str, str]) -> None:
    try:
        archive = zipfile.ZipFile(wheel)
    except (OSError, zipfile.BadZipFile) as error:
        sys.exit(f"error: {wheel} cannot be opened: {error}")
    with archive:
        for name, digest in files.items():
            outer, _, inner = name.partition("!")
            data = archive.read(outer)
            if inner:
                with zipfile.ZipFile(io.BytesIO(data)) as nested:
                    data = nested.read(inner)
            found = hashlib.sha256(data).hexdigest()
            if found != digest:
                sys.exit(f"error: {name} in {wheel} has SHA-256 {found}, expected {digest}")
            _target(name).write_bytes(data)


def _simulate() -> None:
    import mlatem

    for name, specimen in SPECIMENS.items():
        described, simulated = HERE / specimen, RAW / f"{name}.hspy"
        is_there = simulated.is_file()
        if not is_there or simulated.stat().st_mtime < described.stat().st_mtime:
            print(f"Simulating a specimen with known truth: {name}")
            mlatem.simulate(described, RAW, name=name)


if __name__ == "__main__":
    main()
