# SPDX-License-Identifier: GPL-3.0-or-later
"""The elements of a spectrum image: found where none are listed, checked where they are."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlatem import settings as _settings
from mlatem.calibration.element_verdicts import decision, verdicts
from mlatem.calibration.identification import Conditions, identify_source
from mlatem.calibration.known import known_of
from mlatem.errors import InputError
from mlatem.model import Calibration, Identification, SpectrumImage
from mlatem.passes import TileSource
from mlatem.preprocessing.calibrate import Known

_logger = logging.getLogger(__name__)


def identify_image(
    image: SpectrumImage,
    *,
    elements: Sequence[str] = (),
    system_elements: Sequence[str] | None = None,
    acquisition: Mapping[str, float | str | None],
    edxs: _settings.Edxs,
    settings: _settings.Identify,
    **options: Any,
) -> Identification:
    """The elements that a spectrum image shows.

    Parameters
    ----------
    image, acquisition, edxs, **options
        As for `calibrate_image`.
    elements : sequence of str
        A list to check; empty to find all.
    system_elements : sequence of str or None
        Elements of the instrument; None takes those of `edxs` that `elements` does not hold.
    settings : settings.Identify

    Raises
    ------
    InputError
        If the beam energy is not known, an element is unknown, or the counts are too few.
    """
    known_values = image.acquisition.updated(acquisition, "user")
    source = TileSource(
        image.counts,
        slice(0, image.shape[2]),
        label=image.name or "counts",
        mask=image.mask,
        **options,
    )
    known = known_of(image, known_values, elements, system_elements, edxs)
    return identify_source(source, image.energy, _conditions(known), edxs=edxs, settings=settings)


def checked_elements(
    source: TileSource,
    image: SpectrumImage,
    known: Known,
    counts: NDArray[np.float64],
    edxs: _settings.Edxs,
    settings: _settings.Identify,
) -> Identification | None:
    """The elements that the data show, before a calibration.

    Parameters
    ----------
    source : TileSource
    image : SpectrumImage
    known : Known
        Its elements are a list to check; none have to be found.
    counts : ndarray of shape (n_energy,)
        Sum spectrum.
    edxs : settings.Edxs
    settings : settings.Identify

    Returns
    -------
    Identification or None
        None where a list needs no check or the counts do not suffice for one.

    Raises
    ------
    InputError
        If there is no list, and nothing can be identified.
    """
    if known.elements and not settings.check:
        return None
    try:
        return identify_source(
            source, image.energy, _conditions(known), edxs=edxs, settings=settings, counts=counts
        )
    except InputError as error:
        if not known.elements:
            raise
        _logger.info("the list of elements was not checked: %s", error)
        return None


def _conditions(known: Known) -> Conditions:
    return Conditions(
        beam_energy_kev=known.beam_energy_kev.value,
        take_off_angle_deg=known.take_off_angle_deg.value,
        noise_ev=known.noise_ev.value,
        fano=known.fano.value,
        elements=known.elements,
        system_elements=known.system_elements,
    )


def used_elements(identification: Identification) -> tuple[str, ...]:
    """The elements of the specimen where none were listed.

    Raises
    ------
    InputError
        If none was found.
    """
    if not identification.elements:
        raise InputError(
            "no elements are named and none was identified in the sum spectrum: name them in the "
            "column `elements` of the sample sheet, and check the beam energy and the energy axis"
        )
    return identification.elements


def with_identification(
    calibration: Calibration,
    identification: Identification,
    listed: Sequence[str],
    settings: _settings.Identify,
) -> Calibration:
    """The calibration with what the data show, and what that says of a list of elements."""
    chosen = () if listed else (decision(identification),)
    return replace(
        calibration,
        identification=identification,
        decisions=(*chosen, *calibration.decisions),
        verdicts=(*calibration.verdicts, *verdicts(identification, listed, settings)),
    )
