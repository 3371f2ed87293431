# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's simulated specimen comes back: spectra, compositions, maps and number of phases."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import thick_specimens
import xarray as xr
from scipy.optimize import linear_sum_assignment

import mlatem
from mlatem.errors import InputError
from mlatem.io.datasets import load_dataset
from mlatem.model import Calibration, Dictionary, Factorization
from mlatem.sheet import DatasetRow, read_sheet

DEMO = Path(__file__).resolve().parents[1] / "examples" / "demo"
N_PHASES = 4


@dataclass(frozen=True)
class Recovery:
    spectra: xr.DataTree
    calibration: Calibration
    dictionary: Dictionary
    result: xr.Dataset
    truth: xr.Dataset

    @property
    def angle_deg(self) -> np.ndarray:
        """Angles between true (rows) and found (columns) spectra in the dictionary's window."""
        axis, energy = self.truth["energy"].values, self.dictionary.energy
        true = np.stack([np.interp(energy, axis, s) for s in self.truth["spectrum"].values])
        cosine = unit(true) @ unit(self.result["spectrum"].values).T
        return np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))

    @property
    def found(self) -> np.ndarray:
        """Number of the found phase for each true one."""
        return linear_sum_assignment(self.angle_deg)[1]

    @property
    def percent_error(self) -> pd.DataFrame:
        """Absolute error in at%, of every true phase (rows) and element of the dictionary."""
        phases = mlatem.quantify(self.result, calibration=self.calibration)
        table = phases.pivot("atomic_percent")  # noqa: PD010 - a PhaseTable's own
        true = self.truth["atomic_percent"].to_pandas()
        true = true.reindex(columns=table.columns, fill_value=0.0)
        return (table.iloc[self.found].set_axis(true.index) - true).abs()


def unit(spectra: np.ndarray) -> np.ndarray:
    return spectra / np.linalg.norm(spectra, axis=1, keepdims=True)


def demo_row() -> DatasetRow:
    """What the demo's sample sheet says of the simulated specimen."""
    return DatasetRow.from_strings(read_sheet(DEMO / "config" / "datasets.tsv")["simulated"])


@pytest.fixture(scope="module", params=[None, 1], ids=["demo", "other-seed"])
def recovery(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("specimen")
    mlatem.simulate(DEMO / "specimen.yaml", folder, name="map", seed=request.param)
    row = demo_row()
    assert row.n_phases == N_PHASES
    tree = mlatem.read(folder / "map.hspy")
    calibration = mlatem.calibrate(tree, row.elements, thickness_nm=row.thickness_nm)
    dictionary = mlatem.edxs_dictionary(tree, calibration)
    result = mlatem.factorize(tree, dictionary, N_PHASES, calibration=calibration)
    truth = load_dataset(folder / "map_truth.zarr")
    return Recovery(tree, calibration, dictionary, result, truth)


def test_spectra_within_one_degree(recovery):
    angle = recovery.angle_deg[np.arange(N_PHASES), recovery.found]
    assert angle.max() <= 1.0, angle


def test_compositions_within_half_an_atomic_percent(recovery):
    error = recovery.percent_error
    assert error.shape == (N_PHASES, len(demo_row().elements))
    assert error.to_numpy().mean() <= 0.3, error
    present = recovery.truth["atomic_percent"].to_pandas()[error.columns] > 0
    assert error.to_numpy()[present.to_numpy()].mean() <= 0.5, error


def test_absent_elements_stay_absent(recovery):
    absent = recovery.truth["atomic_percent"].to_pandas() == 0
    error = recovery.percent_error[absent.columns]
    assert error.to_numpy()[absent.to_numpy()].max() <= 2.0, error


def test_maps_follow_the_truth(recovery):
    true = recovery.truth["expected_counts"].values.reshape(-1, N_PHASES)
    found = recovery.result["abundance"].values.reshape(-1, N_PHASES)[:, recovery.found]
    for k in range(N_PHASES):
        assert np.corrcoef(true[:, k], found[:, k])[0, 1] > 0.95
    # Abundances are counts in the dictionary's window, truth on the whole axis.
    axis, energy = recovery.truth["energy"].values, recovery.dictionary.energy
    inside = (axis >= energy[0]) & (axis <= energy[-1])
    share = recovery.truth["spectrum"].values[:, inside].sum(axis=1)
    assert found.sum(axis=0) == pytest.approx(true.sum(axis=0) * share, rel=0.05)


def test_all_counts_are_accounted_for(recovery):
    counts = recovery.spectra["edxs"]["counts"].values[..., recovery.dictionary.channels]
    total = counts.sum(dtype=np.int64)
    assert recovery.result["abundance"].values.sum() == pytest.approx(total, rel=1e-3)
    details = Factorization.from_dataset(recovery.result).attrs
    assert details["converged"], details["reason"]
    assert details["n_carried"] == N_PHASES


def test_phases_that_absorb_themselves_are_not_refined_on_shared_columns(recovery):
    with pytest.raises(InputError, match="columns of their own"):
        mlatem.refine(recovery.spectra, recovery.result)


def test_the_number_of_phases_is_found(recovery):
    result = mlatem.factorize(
        recovery.spectra, recovery.dictionary, "auto", calibration=recovery.calibration
    )
    assert result.sizes["phase"] == N_PHASES
    xr.testing.assert_equal(result["coefficient"], recovery.result["coefficient"])


def test_a_thick_specimen_comes_back(tmp_path):
    """Factors of absorbed lines, fitted to the sum of all phases, once led 17 degrees astray."""
    tree, truth = thick_specimens.simulated(tmp_path, 80.0, None, None)
    elements = [str(element) for element in truth["element"].values]
    calibration = mlatem.calibrate(tree, elements, thickness_nm=80.0)
    dictionary = mlatem.edxs_dictionary(tree, calibration)
    result = mlatem.factorize(tree, dictionary, N_PHASES, calibration=calibration)
    assert calibration.line_factors["Ni L3"].value < 0.8
    factors = Factorization.from_dataset(result).line_factors
    for name in ("Ti L3", "Fe L3", "Ni L3"):
        assert factors[name][0] == pytest.approx(1.0, abs=0.15), name
    found = Recovery(tree, calibration, dictionary, result, truth)
    assert found.angle_deg[np.arange(N_PHASES), found.found].max() <= 1.5
    error = found.percent_error
    present = truth["atomic_percent"].to_pandas()[error.columns] > 0
    assert error.to_numpy()[present.to_numpy()].mean() <= 0.7
