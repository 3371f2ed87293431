# SPDX-License-Identifier: GPL-3.0-or-later
"""From a raw file to quantified phases, as one would in a notebook; no workflow needed.

    python examples/notebook.py raw/map.emd Ti,O,Si 3 60

takes a file, the elements, the number of phases and, where it is known, the thickness in nm.

Without arguments a small specimen is simulated first.
"""

import sys
import tempfile

import mlatem

if len(sys.argv) > 1:
    path, elements, n_phases = sys.argv[1], sys.argv[2].split(","), int(sys.argv[3])
    thickness_nm = float(sys.argv[4]) if len(sys.argv) > 4 else None
else:
    folder = tempfile.mkdtemp()
    mlatem.simulate("examples/specimens/small.yaml", folder, name="small")
    path, elements, n_phases = f"{folder}/small.hspy", ["O", "Si", "Ti", "Fe"], 3
    thickness_nm = 40.0

# Lazy where the file allows it; coordinates in nm and keV.
tree = mlatem.read(path)
spectra = tree["edxs"].to_dataset()
print(spectra)

# Energy axis, resolution and mean composition from the sum spectrum; then the physical columns.
calibration = mlatem.calibrate(spectra, elements, thickness_nm=thickness_nm)
dictionary = mlatem.edxs_dictionary(spectra, calibration)
for decision in calibration.decisions:
    print(f"{decision.choice} ({decision.reason})")

# Phases: spectra, compositions and maps with their uncertainties. With the calibration, each phase
# absorbs its own X-rays.
result = mlatem.factorize(spectra, dictionary, n_phases, calibration=calibration)
print(result[["spectrum", "abundance", "sigma_abundance"]])

table = mlatem.quantify(result, calibration=calibration)
print(table.pivot("atomic_percent").round(2))
print(table.pivot("sigma_stat").round(2))
