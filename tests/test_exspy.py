# SPDX-License-Identifier: GPL-3.0-or-later
"""eXSpy quantifies the same intensities with the same factors as MLATEM does."""

from __future__ import annotations

import numpy as np
import pytest
from beside_exspy import BEAM_KEV, CASES, exact_intensities, factors

from mlatem.physics.atomic import atomic_weight
from mlatem.quantification.classical import cliff_lorimer, cross_section, zeta

exspy = pytest.importorskip(
    "exspy", reason="eXSpy is not installed: pip install 'mlatem[hyperspy]'"
)

ELECTRONS = 1e11
PROBE_NM2 = 1.0


@pytest.fixture(params=CASES)
def name(request):
    return request.param


def theirs(name, counts, method, factor, **options):
    """What eXSpy returns for counts of K alpha lines, in the order of the case's elements."""
    elements = list(CASES[name][0])
    spectrum = exspy.signals.EDSTEMSpectrum(np.ones(1024))
    axis = spectrum.axes_manager[-1]
    axis.name, axis.units, axis.scale = "Energy", "keV", 0.01
    spectrum.set_microscope_parameters(
        beam_energy=BEAM_KEV,
        live_time=100.0,
        beam_current=ELECTRONS * 1.602176634e-19 * 1e9 / 100.0,
        elevation_angle=22.0,
        azimuth_angle=0.0,
        tilt_stage=0.0,
        probe_area=PROBE_NM2,
    )
    spectrum.set_elements(elements)
    spectrum.set_lines([f"{element}_Ka" for element in elements])
    intensities = spectrum.get_lines_intensity()
    # eXSpy orders lines by the alphabet.
    place = [elements.index(i.metadata.Sample.elements[0]) for i in intensities]
    for intensity, index in zip(intensities, place, strict=True):
        intensity.data = np.full(intensity.data.shape, counts[index])
    result = spectrum.quantification(
        intensities, method=method, factors=[factor[i] for i in place], **options
    )
    tables = [result] if method == "CL" else list(result)

    def ordered(table):
        if not isinstance(table, (list, tuple)):
            return float(np.ravel(table.data)[0])
        return np.array([float(np.ravel(table[place.index(i)].data)[0]) for i in range(len(place))])

    return [ordered(table) for table in tables]


def test_cliff_lorimer(name):
    counts = exact_intensities(name, ELECTRONS, absorbed=False)
    k = factors(list(CASES[name][0]))["k"]
    (percent,) = theirs(name, counts, "CL", k, composition_units="weight")
    np.testing.assert_allclose(100 * cliff_lorimer(counts, k).fractions, percent, rtol=1e-12)


def test_zeta(name):
    counts = exact_intensities(name, ELECTRONS, absorbed=False)
    factor = factors(list(CASES[name][0]))["zeta"]
    percent, mass_thickness = theirs(name, counts, "zeta", factor, composition_units="weight")
    ours = zeta(counts, factor, electrons=ELECTRONS)
    np.testing.assert_allclose(100 * ours.fractions, percent, rtol=1e-12)
    assert ours.amount == pytest.approx(mass_thickness, rel=1e-9)


def test_cross_section(name):
    counts = exact_intensities(name, ELECTRONS, absorbed=False)
    barn = factors(list(CASES[name][0]))["barn"]
    percent, atoms = theirs(
        name, counts, "cross_section", barn, composition_units="atomic", probe_area=PROBE_NM2
    )
    ours = cross_section(counts, barn, electrons=ELECTRONS)
    np.testing.assert_allclose(100 * ours.fractions, percent, rtol=1e-12)
    assert ours.amount == pytest.approx(atoms.sum() / (PROBE_NM2 * 1e-18), rel=1e-9)


def test_absorption_and_atomic_percent(name):
    """Counts that our absorption weakened: eXSpy's correction, by another table, restores them."""
    atomic_percent, density, thickness = CASES[name]
    counts = exact_intensities(name, ELECTRONS, absorbed=True)
    factor = factors(list(atomic_percent))["zeta"]
    options = {
        "composition_units": "atomic",
        "absorption_correction": True,
        "convergence_criterion": 1e-6,  # 0.5 % if not given
        "show_progressbar": False,
    }
    percent, mass_thickness = theirs(name, counts, "zeta", factor, **options)
    truth = np.array([*atomic_percent.values()])
    np.testing.assert_allclose(percent, truth, atol=0.25)
    assert mass_thickness == pytest.approx(1e-6 * density * thickness, rel=0.015)
    if name == "silicate":  # 300 nm, where absorption left out is an error of percents
        weight = zeta(counts, factor, electrons=ELECTRONS).fractions
        moles = weight / [atomic_weight(element) for element in atomic_percent]
        assert np.abs(100 * moles / moles.sum() - truth).max() > 3
