# SPDX-License-Identifier: GPL-3.0-or-later
"""How X-rays leave the specimen: take-off angles of its detectors, and the beam's path in it."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlatem.errors import InputError
from mlatem.model import Acquisition, Verdict
from mlatem.model.acquisition import FIELDS, Origin

#: A take-off angle that was given and the one of the geometry may differ by this much, degrees.
_AGREEMENT_DEG = 1.0
#: Below this tilt an unknown azimuth is no reason for a warning: it moves the angle by less.
_SMALL_TILT_DEG = 2.0
#: Azimuths of the four segments of a Super-X, which lie between the axes of the stage.
_FOUR_SEGMENTS_DEG = (45.0, 135.0, 225.0, 315.0)


@dataclass(frozen=True)
class Geometry:
    """Directions of detectors and beam with respect to a flat specimen."""

    take_off_angles_deg: tuple[float, ...]
    """Of every detector that sees the surface, between 0 and 90."""
    origin: Origin
    """Of the least certain item that went in."""
    tilt_deg: float = 0.0
    """Between the beam and the normal of the specimen."""
    basis: str = ""
    """What the angles were made from, in the user's words."""
    warnings: tuple[Verdict, ...] = ()

    @property
    def effective_angle_deg(self) -> float:
        """The angle of the one detector that would see the same for weak absorption.

        Notes
        -----
        Weak absorption takes away a share in proportion to 1/sin(angle), whose mean counts.
        """
        path = np.mean(1.0 / np.sin(np.radians(self.take_off_angles_deg)))
        return math.degrees(math.asin(min(1.0, 1.0 / float(path))))

    @property
    def beam_path(self) -> float:
        """Length of the beam's path over the thickness, ``1 / cos(tilt)``."""
        return 1.0 / math.cos(math.radians(self.tilt_deg))


def take_off_angle_deg(
    elevation_deg: float,
    azimuth_deg: float = 0.0,
    stage_tilt_deg: float = 0.0,
    stage_tilt_beta_deg: float = 0.0,
) -> float:
    """Angle between the surface of a tilted specimen and the direction of a detector.

    Parameters
    ----------
    elevation_deg : float
        Of the detector above the plane that is perpendicular to the beam.
    azimuth_deg : float
        Of the detector around the beam; 0 is perpendicular to the axis of the alpha tilt.
    stage_tilt_deg : float
        Alpha tilt; positive turns the specimen towards azimuth 0.
    stage_tilt_beta_deg : float
        Beta tilt, about the axis that alpha tilts; positive turns towards azimuth 90.

    Returns
    -------
    float
        Degrees; negative where the detector is behind the surface.

    Notes
    -----
    Scalar product of the direction of the detector with the normal of the specimen::

        sin(take-off) = cos(el) cos(az) sin(alpha) cos(beta) + cos(el) sin(az) sin(beta)
                        + sin(el) cos(alpha) cos(beta)

    (M. Schaffer, J. Wagner, B. Schaffer, M. Schmied, H. Mulders, Ultramicroscopy 107 (2007) 587,
    with alpha alone; eXSpy's `take_off_angle` has the same signs.)
    """
    elevation, azimuth, alpha, beta = (
        math.radians(angle)
        for angle in (elevation_deg, azimuth_deg, stage_tilt_deg, stage_tilt_beta_deg)
    )
    sine = (
        math.cos(elevation) * math.cos(azimuth) * math.sin(alpha) * math.cos(beta)
        + math.cos(elevation) * math.sin(azimuth) * math.sin(beta)
        + math.sin(elevation) * math.cos(alpha) * math.cos(beta)
    )
    return math.degrees(math.asin(max(-1.0, min(1.0, sine))))


def geometry_of(acquisition: Acquisition, default_deg: float) -> Geometry:
    """The geometry of a measurement from what is known of it.

    Parameters
    ----------
    acquisition : Acquisition
        `take_off_angle_deg` is taken as it is; else elevation, azimuth (one, or one per detector
        as a text "45, 135, 225, 315") and stage tilt give it. Four detectors without azimuth are
        taken for those of a Super-X, 45 degrees from the tilt axes. An elevation of the user's
        stands above a take-off angle of the file's.
    default_deg : float
        Take-off angle where neither it nor an elevation is known.

    Returns
    -------
    Geometry

    Raises
    ------
    InputError
        If the beam meets the specimen from behind, no detector sees its surface, an angle is not
        possible, or the user's take-off angle and elevation contradict each other.
    """
    tilt = _tilt_deg(acquisition)
    given = _angle(acquisition, "take_off_angle_deg")
    elevation = _angle(acquisition, "elevation_deg")
    if elevation is not None:
        found = _from_elevation(acquisition, elevation, tilt)
        is_overruled = _is_users(acquisition, "elevation_deg") and not _is_users(
            acquisition, "take_off_angle_deg"
        )
        if given is None or is_overruled:
            return found
        return _given_beside(acquisition, given, found)
    if given is not None:
        return Geometry((given,), acquisition["take_off_angle_deg"].origin, tilt, "given")
    return Geometry((default_deg,), "default", tilt, "edxs.detector.take_off_angle_deg")


def _is_users(acquisition: Acquisition, name: str) -> bool:
    return name in acquisition and acquisition[name].origin == "user"


def _from_elevation(acquisition: Acquisition, elevation: float, tilt: float) -> Geometry:
    azimuths, warnings = _azimuths_deg(acquisition, tilt)
    stage = [acquisition.number(n) or 0.0 for n in ("stage_tilt_deg", "stage_tilt_beta_deg")]
    if azimuths is None:
        text = f"elevation {elevation:g} degrees, stage tilt left out"
        angles: tuple[float, ...] = (elevation,)
    else:
        angles = tuple(take_off_angle_deg(elevation, azimuth, *stage) for azimuth in azimuths)
        text = _words(elevation, azimuths, stage)
    seen = tuple(angle for angle in angles if angle > 0)
    if not seen:
        raise InputError(
            f"no detector sees the specimen's surface: {text} give take-off angles of "
            f"{', '.join(f'{angle:.1f}' for angle in angles)} degrees, expected above 0. Correct "
            "elevation_deg, azimuth_deg and stage_tilt_deg, or give take_off_angle_deg"
        )
    if len(seen) < len(angles):
        warnings += (_hidden(angles, text),)
    names = ("elevation_deg", "azimuth_deg", "stage_tilt_deg", "stage_tilt_beta_deg")
    used = [acquisition[n].origin for n in (names[:1] if not tilt else names) if n in acquisition]
    origin = next(o for o in ("default", "file", "user") if o in used)
    return Geometry(seen, origin, tilt, text, warnings)


def _given_beside(acquisition: Acquisition, given: float, found: Geometry) -> Geometry:
    """The take-off angle that was given, checked against the one of the elevation."""
    entry = acquisition["take_off_angle_deg"]
    differs = abs(given - found.effective_angle_deg)
    result = Geometry((given,), entry.origin, found.tilt_deg, "given")
    if differs <= _AGREEMENT_DEG or acquisition["elevation_deg"].origin == "default":
        return result
    problem = (
        f"take-off angle {given:g} degrees was given, but {found.basis} give "
        f"{found.effective_angle_deg:.1f}"
    )
    if entry.origin == acquisition["elevation_deg"].origin == "user":
        raise InputError(
            f"{problem}: give either take_off_angle_deg, or elevation_deg with azimuth_deg and "
            "stage_tilt_deg"
        )
    return Geometry(
        result.take_off_angles_deg,
        result.origin,
        result.tilt_deg,
        result.basis,
        (
            _warning(
                differs,
                f"{problem}: the former was taken; correct take_off_angle_deg if it is wrong",
            ),
        ),
    )


def _tilt_deg(acquisition: Acquisition) -> float:
    """Angle between beam and normal; the beam has to meet the surface that detectors see."""
    alpha = acquisition.number("stage_tilt_deg") or 0.0
    beta = acquisition.number("stage_tilt_beta_deg") or 0.0
    cosine = math.cos(math.radians(alpha)) * math.cos(math.radians(beta))
    if not cosine > 0 or abs(alpha) >= 90 or abs(beta) >= 90:
        raise InputError(
            f"stage tilts of {alpha:g} (alpha) and {beta:g} (beta) degrees turn the specimen's "
            "surface away from the beam: expected less than 90; correct stage_tilt_deg"
        )
    return math.degrees(math.acos(min(1.0, cosine)))


def _angle(acquisition: Acquisition, name: str) -> float | None:
    """An angle above the surface; files write 0 where they do not know it."""
    value = acquisition.number(name)
    if value is None or (value <= 0 and acquisition[name].origin != "user"):
        return None
    if not 0 < value <= 90:
        raise InputError(
            f"{FIELDS[name][0]} {value:g} degrees is not between 0 and 90: a detector sees the "
            f"side of the specimen that the beam enters. Correct {name}"
        )
    return value


def _azimuths_deg(
    acquisition: Acquisition, tilt: float
) -> tuple[Sequence[float] | None, tuple[Verdict, ...]]:
    """Azimuths of all detectors; None where they are needed and not known."""
    if "azimuth_deg" in acquisition:
        words = [w for w in re.split(r"[,;\s]+", str(acquisition["azimuth_deg"].value)) if w]
        try:
            return [float(word) for word in words], ()
        except ValueError:
            raise InputError(
                f"azimuth_deg is {acquisition['azimuth_deg'].value!r}: expected degrees, one or "
                "one per detector, for example 45, 135, 225, 315"
            ) from None
    if tilt == 0:
        return (0.0,), ()
    if acquisition.number("n_detectors") == len(_FOUR_SEGMENTS_DEG):
        return _FOUR_SEGMENTS_DEG, ()
    if tilt < _SMALL_TILT_DEG:
        return None, ()
    return None, (
        _warning(
            tilt,
            f"the stage is tilted by {tilt:.1f} degrees, but the detector's azimuth is not known: "
            "the take-off angle is that without tilt. Give azimuth_deg or take_off_angle_deg",
        ),
    )


def _hidden(angles: Sequence[float], text: str) -> Verdict:
    hidden = [angle for angle in angles if angle <= 0]
    return _warning(
        min(hidden),
        f"{len(hidden)} of {len(angles)} detectors are behind the specimen's surface ({text}): "
        "they were taken as blocked. Correct stage_tilt_deg and azimuth_deg if they are wrong",
    )


def _warning(value: float, message: str) -> Verdict:
    return Verdict("geometry of the detector", value, None, "deg", "warning", message)


def _words(elevation: float, azimuths: Sequence[float], stage: Sequence[float]) -> str:
    text = f"elevation {elevation:g} degrees"
    if not any(stage):
        return f"{text}, specimen not tilted"
    where = ", ".join(f"{azimuth:g}" for azimuth in azimuths)
    tilt = f"{stage[0]:g}" + (f" and {stage[1]:g}" if stage[1] else "")
    return f"{text}, azimuth {where}, stage tilt {tilt}"
