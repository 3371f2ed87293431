# SPDX-License-Identifier: GPL-3.0-or-later
"""Before the factorisation: elements, calibration, the dictionary."""

from collections.abc import Sequence
from typing import Any

import xarray as xr

from mlatem import settings as _settings
from mlatem.api.data import SpectrumImageLike, check_options, spectrum_image
from mlatem.calibration.element_check import identify_image
from mlatem.calibration.image import calibrate_image, detectors_from_array
from mlatem.errors import InputError
from mlatem.io.detector_tables import with_detector_file
from mlatem.model import (
    Calibration,
    Dictionary,
    FactorTable,
    Identification,
)
from mlatem.physics.dictionary import dictionary_from_calibration
from mlatem.preprocessing.detectors import DetectorSpectra


def calibrate(  # noqa: PLR0913 - one keyword per thing that may be known
    data: SpectrumImageLike,
    elements: Sequence[str] = (),
    *,
    system_elements: Sequence[str] | None = None,
    thickness_nm: float | None = None,
    density_g_cm3: float | None = None,
    beam_energy_kev: float | None = None,
    take_off_angle_deg: float | None = None,
    detector_spectra: xr.DataArray | DetectorSpectra | None = None,
    edxs: _settings.Edxs | None = None,
    settings: _settings.Calibrate | None = None,
    factor_table: FactorTable | None = None,
    identify: _settings.Identify | None = None,
    **options: Any,
) -> Calibration:
    """Energy axis, resolution, mean composition and absorption from the sum spectrum.

    Parameters
    ----------
    data : SpectrumImage, Dataset or DataTree
        A map, or a single spectrum: a dataset with `counts` (energy).
    elements : sequence of str
        Elements of the specimen; those that `mlatem.identify` finds if not given.
    system_elements : sequence of str, optional
        Elements of grid, holder and collimator; those of `edxs` if not given.
    thickness_nm, density_g_cm3 : float, optional
        Of the specimen. Without a thickness absorption is left out; without a density it is
        estimated from the composition.
    beam_energy_kev, take_off_angle_deg : float, optional
        Take precedence over the file's.
    detector_spectra : DataArray of shape (detector, energy), optional
        Sum spectra of the detectors, on the axis of the file; the variable of that name in the
        data if not given. Each detector then has an axis and a resolution of its own.
    edxs, settings, identify : settings records, optional
    factor_table : FactorTable, optional
        From `mlatem.read_factors`: factors in place of the computed intensities of lines.
    **options
        `tile_shape`, `threads` and `progress` of `mlatem.passes.TileSource`.

    Returns
    -------
    Calibration

    Raises
    ------
    InputError
        If the beam energy is not known, an element is unknown, or the sum spectrum cannot be used.
    """
    check_options(options)
    if detector_spectra is None and isinstance(data, xr.DataTree):
        detector_spectra = data.children.get("edxs", data).to_dataset().get("detector_spectra")
    elif detector_spectra is None and isinstance(data, xr.Dataset):
        detector_spectra = data.get("detector_spectra")
    if isinstance(detector_spectra, xr.DataArray):
        detector_spectra = detectors_from_array(detector_spectra)
    return calibrate_image(
        spectrum_image(data),
        elements=elements,
        system_elements=system_elements,
        acquisition={
            "thickness_nm": thickness_nm,
            "density_g_cm3": density_g_cm3,
            "beam_energy_kev": beam_energy_kev,
            "take_off_angle_deg": take_off_angle_deg,
        },
        edxs=with_detector_file(edxs),
        settings=settings or _settings.Calibrate(),
        factor_table=factor_table,
        detector_spectra=detector_spectra,
        identify=identify,
        **options,
    )


def identify(
    data: SpectrumImageLike,
    elements: Sequence[str] = (),
    *,
    system_elements: Sequence[str] | None = None,
    beam_energy_kev: float | None = None,
    take_off_angle_deg: float | None = None,
    edxs: _settings.Edxs | None = None,
    settings: _settings.Identify | None = None,
    **options: Any,
) -> Identification:
    """The elements that a spectrum image shows, those of small parts of it too.

    Parameters
    ----------
    data : SpectrumImage, Dataset or DataTree
    elements : sequence of str, optional
        A list to check: these are in the model from the start.
    system_elements : sequence of str, optional
        Elements of grid, holder and collimator; those of `edxs` if not given.
    beam_energy_kev, take_off_angle_deg : float, optional
        Take precedence over the file's.
    edxs, settings : settings records, optional
    **options
        `tile_shape`, `threads` and `progress` of `mlatem.passes.TileSource`.

    Returns
    -------
    Identification
        `elements` are those that are used; `to_frame()` gives a table of all, with candidates.

    Raises
    ------
    InputError
        If the beam energy is not known, an element is unknown, or the counts are too few.
    """
    check_options(options)
    return identify_image(
        spectrum_image(data),
        elements=elements,
        system_elements=system_elements,
        acquisition={
            "beam_energy_kev": beam_energy_kev,
            "take_off_angle_deg": take_off_angle_deg,
        },
        edxs=with_detector_file(edxs),
        settings=settings or _settings.Identify(),
        **options,
    )


def edxs_dictionary(
    data: SpectrumImageLike, calibration: Calibration, *, edxs: _settings.Edxs | None = None
) -> Dictionary:
    """The dictionary of physical columns for a calibrated spectrum image.

    Parameters
    ----------
    data : SpectrumImage, Dataset or DataTree
    calibration : Calibration
        From `mlatem.calibrate`.
    edxs : settings.Edxs, optional

    Returns
    -------
    Dictionary

    Raises
    ------
    InputError
        If `calibration` is none, or its window reaches beyond the axis.
    """
    energy = spectrum_image(data).energy
    if not isinstance(calibration, Calibration):
        raise InputError(
            f"calibration is a {type(calibration).__name__}: give what mlatem.calibrate returns"
        )
    return dictionary_from_calibration(energy, calibration, with_detector_file(edxs))
