# SPDX-License-Identifier: GPL-3.0-or-later
"""Two phases, one left and one right, with records made by hand."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from mlatem import settings
from mlatem.model import (
    Acquisition,
    Basis,
    Calibration,
    Decision,
    Dictionary,
    Estimate,
    Factorization,
    PhaseTable,
    Verdict,
)
from mlatem.model.pixel_maps import PixelMaps
from mlatem.reporting import ReportInputs, Survey

ELEMENTS = ("O", "Si", "Fe")
LINES_KEV = {"O": (0.53,), "Si": (1.74,), "Fe": (0.70, 6.40, 7.06), "Cu": (8.05,)}
#: at% of two phases.
PERCENT = np.array([[66.7, 33.3, 0.0], [60.0, 0.0, 40.0]])


def make_dictionary() -> Dictionary:
    energy = 0.3 + 0.04 * np.arange(230)

    def column(element):
        lines = [np.exp(-0.5 * ((energy - line) / 0.05) ** 2) for line in LINES_KEV[element]]
        return np.sum(lines, axis=0)

    names = [*ELEMENTS, "Cu (system)", "continuum 1"]
    return Dictionary.from_arrays(
        columns=[*(column(e) for e in (*ELEMENTS, "Cu")), np.exp(-energy / 3)],
        energy=energy,
        names=names,
        kinds=["line"] * 3 + ["system", "background"],
        elements=[*ELEMENTS, "Cu", ""],
        factor_sigma=[0.2, 0.1, 0.05, 0.0, 0.0],
    )


def make_factorization(shape=(12, 16), *, counts_per_pixel=200, seed=0, **attrs) -> Factorization:
    """Two phases, one left and one right, with Poisson counts from the model itself."""
    rng = np.random.default_rng(seed)
    dictionary = make_dictionary()
    coefficient = np.hstack([PERCENT / 100, [[0.1, 0.1], [0.1, 0.1]]])
    coefficient /= (coefficient @ dictionary.columns).sum(axis=1, keepdims=True)
    abundance = np.zeros((*shape, 2), dtype=np.float32)
    is_left = np.arange(shape[1]) < shape[1] // 2
    abundance[:, is_left, 0] = counts_per_pixel
    abundance[:, ~is_left, 1] = counts_per_pixel
    expected = abundance @ (coefficient @ dictionary.columns)
    counts = rng.poisson(expected)
    ratio = np.where(counts > 0, counts, 1) / expected
    deviance = 2 * (counts * np.log(ratio) - counts + expected).sum(axis=-1)
    masks = [is_left, ~is_left]
    return Factorization(
        dictionary=dictionary,
        coefficient=coefficient,
        coefficient_covariance=np.zeros((2, 5, 5)),
        abundance=abundance,
        abundance_covariance=np.full((*shape, 2, 2), np.nan, dtype=np.float32),
        deviance=deviance.astype(np.float32),
        dominant_counts=np.array([counts[:, m].sum(axis=(0, 1)) for m in masks], dtype=float),
        dominant_abundance=np.array([abundance[:, m].sum(axis=(0, 1)) for m in masks], dtype=float),
        loss=np.array([3.0, 1.0]),
        y_nm=2.0 * np.arange(shape[0]),
        x_nm=2.0 * np.arange(shape[1]),
        attrs={"converged": True, "n_rounds": 7, "n_carried": 2, "spread_deg": [0.2, 0.3], **attrs},
    )


def make_table() -> PhaseTable:
    rows = [
        {
            "dataset": "d",
            "phase": phase + 1,
            "area_fraction": 0.5,
            "element": element,
            "atomic_percent": PERCENT[phase, index],
            "sigma_stat": 0.31,
            "sigma_sys": 4.2,
            "weight_percent": PERCENT[phase, index],
            "detection_limit": 0.42,
            "line_or_edge": "K",
            "method": "absolute",
            "factor_source": "computed",
        }
        for phase in range(2)
        for index, element in enumerate(ELEMENTS)
    ]
    return PhaseTable(pd.DataFrame(rows))


def make_maps(factorization: Factorization) -> PixelMaps:
    phase = factorization.abundance.argmax(axis=2).astype(np.int16)
    phase[0, 0] = -1
    percent = PERCENT[phase].astype(np.float32)
    percent[0, 0] = np.nan
    return PixelMaps(
        elements=ELEMENTS,
        n_phases=2,
        atomic_percent=percent,
        sigma=np.full_like(percent, 1.5),
        phase=phase,
        y_nm=factorization.y_nm,
        x_nm=factorization.x_nm,
    )


def make_calibration(**changes) -> Calibration:
    values = {
        "energy_offset_kev": Estimate(0.0031, 0.0004, "file"),
        "energy_gain": Estimate(-1.2e-4, 2e-5, "file"),
        "noise_ev": Estimate(47.2, 0.6, "file"),
        "fano": Estimate(0.118, None, "default"),
        "beam_energy_kev": Estimate(200.0, None, "file"),
        "take_off_angle_deg": Estimate(22.0, None, "default"),
        "mass_thickness_kg_m2": Estimate(0.0, None, "default"),
        "composition": {},
        "elements": ELEMENTS,
        "system_elements": ("Cu",),
        "first_channel": 0,
        "stop_channel": 230,
        "deviance_per_dof": 1.07,
        "decisions": (Decision("calibrate", "axis moved", "3.1 eV", "calibrate.axis"),),
    }
    return Calibration(**{**values, **changes})


def make_basis() -> Basis:
    return Basis(
        axes=np.eye(2, 230),
        weights=np.ones(230),
        eigenvalue=np.array([900.0, 80.0]),
        edge=np.array([10.0, 10.0]),
        in_span=np.array([True, True]),
        energy=0.3 + 0.04 * np.arange(230),
        n_pixels=192,
        scree_in_span=np.array([80.0, 4.0, -3.0]),
        scree_residual=np.array([9.0, 8.0, -1.0]),
        edge_in_span=10.0,
        edge_residual=12.0,
    )


def make_inputs(**changes) -> ReportInputs:
    """Inputs of a report; keywords replace parts."""
    factorization = changes.pop("factorization", None) or make_factorization()
    image = np.random.default_rng(1).normal(100, 5, (50, 60))
    acquisition = Acquisition().updated({"beam_energy_kev": 200.0, "dwell_time_s": 2e-5}, "file")
    parts = {
        "dataset": "quartz",
        "factorization": factorization,
        "table": make_table(),
        "maps": make_maps(factorization),
        "calibration": make_calibration(),
        "acquisition": acquisition.updated({"take_off_angle_deg": 22.0}, "default"),
        "survey": Survey(image, 0.5),
        "basis": make_basis(),
        "decisions": (Decision("factorize", "2 phases", "edge 1.5", "factorize.n_phases"),),
        "verdicts": (Verdict("misfit", 1.62, 1.5, "", "warning", "Look at the residuals."),),
        "provenance": {"sources": [{"path": "a.emd", "sha256": "f00d"}], "date": "2025-01-01"},
        "total_counts": 38400.0,
        "settings": settings.Report(figure_dpi=50),
    }
    return ReportInputs(**{**parts, **changes})


@pytest.fixture(scope="session")
def make():
    """Makers of the records that a report is made of."""
    return SimpleNamespace(
        factorization=make_factorization,
        basis=make_basis,
        table=make_table,
        maps=make_maps,
        calibration=make_calibration,
        inputs=make_inputs,
    )
