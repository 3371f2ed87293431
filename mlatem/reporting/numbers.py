# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers as people read them."""

from __future__ import annotations

import math

#: What stands where there is nothing to say.
NOTHING = "\N{EN DASH}"

_NARROW_SPACE = "\N{NARROW NO-BREAK SPACE}"
_MAX_DECIMALS = 2
#: Values from here on have an exponent.
_WRITTEN_OUT = 1e12


def decimals_of(sigma: float, *, most: int = _MAX_DECIMALS) -> int:
    """Decimals that show two digits of a standard deviation, at most `most`."""
    if not math.isfinite(sigma) or sigma <= 0:
        return 1
    return min(max(1 - math.floor(math.log10(sigma)), 0), most)


def fixed(value: float | None, decimals: int) -> str:
    """The value with a number of decimals; a dash for None and NaN."""
    if value is None or not math.isfinite(value):
        return NOTHING
    return f"{value:.{decimals}f}"


def short(value: float | str | None, digits: int = 4) -> str:
    """The value with few significant digits; texts as they are, a dash for None and NaN.

    Large values are written out with their thousands set apart: 13 900, not 1.39e+04.
    """
    if isinstance(value, str):
        return value
    if value is None or not math.isfinite(value):
        return NOTHING
    text = f"{value:.{digits}g}"
    return whole(float(text)) if 10**digits <= abs(value) < _WRITTEN_OUT else text


def whole(value: float | None) -> str:
    """A count with its thousands set apart; a dash for None and NaN."""
    if value is None or not math.isfinite(value):
        return NOTHING
    return f"{value:,.0f}".replace(",", _NARROW_SPACE)


def length(nm: float) -> str:
    """A length in the unit that suits it: pm, nm, um or mm."""
    for unit, size in (("mm", 1e6), ("\N{MICRO SIGN}m", 1e3), ("nm", 0.1), ("pm", 0.0)):
        if nm >= size:
            scale = {"mm": 1e6, "\N{MICRO SIGN}m": 1e3, "nm": 1.0, "pm": 1e-3}[unit]
            return f"{nm / scale:.4g} {unit}"
    return NOTHING


def duration(seconds: float | None) -> str:
    """A time in seconds, minutes or hours."""
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def small_time(seconds: float) -> str:
    """A time below one second in the unit that suits it: ms or us."""
    if seconds >= 1e-3:
        return f"{seconds * 1e3:.4g} ms"
    return f"{seconds * 1e6:.4g} \N{MICRO SIGN}s"


def round_length(at_most_nm: float) -> float:
    """The largest of 1, 2, 5 x 10^n that is not above a length."""
    power = 10.0 ** math.floor(math.log10(at_most_nm))
    return max(step * power for step in (1, 2, 5) if step * power <= at_most_nm * (1 + 1e-9))
