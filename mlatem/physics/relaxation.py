# SPDX-License-Identifier: GPL-3.0-or-later
"""How a vacancy relaxes: fluorescence yields, radiative rates, line energies, cascade.

K and L shells come from xraylib, M-shell yields and cascade from the shipped table of
`mlatem.physics.build_m_shell`, and what is faulty in xraylib from `data/overrides.csv`, where every
row names its source.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np
import xraylib
from numpy.typing import NDArray

from mlatem.elements import atomic_number
from mlatem.physics.bote_salvat import SHELLS
from mlatem.physics.shipped import m_shell_table, overrides

_FIRST_M = SHELLS.index("M1")

#: Shells from which the electron that fills an M vacancy may come, in the order of the table.
M_SOURCES = (
    *SHELLS,
    *(f"N{k}" for k in range(1, 8)),
    *(f"O{k}" for k in range(1, 8)),
)

#: From here on (Hf) M rates are those of the table; below, 4f shells fill, and its free atoms give
#: M alpha too little.
_FIRST_M_RATES = 72


class Transition(NamedTuple):
    """One radiative transition."""

    name: str
    """For example "K-L3": the vacancy moves from K to L3."""
    shell: str
    energy_kev: float
    rate: float
    """Share of the shell's photons."""


def _transition_codes() -> dict[str, list[tuple[str, int]]]:
    """Numbers that xraylib gives the lines, by shell; "K-O" and "L3-O45" stand for groups."""
    pattern = re.compile(r"^(K|L[123]|M[1-5])([L-Q]\d{1,2}|O|P)_LINE$")
    codes: dict[str, list[tuple[str, int]]] = {shell: [] for shell in SHELLS}
    for name in sorted(vars(xraylib)):
        if match := pattern.match(name):
            shell, source = match.groups()
            codes[shell].append((f"{shell}-{source}", getattr(xraylib, name)))
    return codes


def _auger_codes() -> dict[tuple[str, str], list[tuple[int, int]]]:
    """(number of vacancies, number in xraylib) of the Auger transitions from K into an L shell."""
    codes: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for name in sorted(vars(xraylib)):
        if match := re.match(r"^K_([L-Q]\d)([L-Q]\d)_AUGER$", name):
            for target in set(match.groups()):
                entry = (match.groups().count(target), getattr(xraylib, name))
                codes.setdefault(("K", target), []).append(entry)
    return codes


_TRANSITIONS = _transition_codes()
_AUGER = _auger_codes()
_M_CODES = {
    (shell, name.split("-")[1]): code
    for shell in SHELLS[_FIRST_M:]
    for name, code in _TRANSITIONS[shell]
}


def _value(function: Any, *arguments: Any) -> float:
    """A value of xraylib; zero where it has none."""
    try:
        return float(function(*arguments))
    except ValueError:
        return 0.0


def fluorescence_yield(element: str, shell: str) -> float:
    """Photons per vacancy of a shell that is not filled by a Coster-Kronig transition first.

    Parameters
    ----------
    element : str
    shell : {"K", "L1", "L2", "L3", "M1", "M2", "M3", "M4", "M5"}

    Returns
    -------
    float
        Zero where the shell does not exist or no value is known.

    Notes
    -----
    K: the fit of Bambynek (1984); L: Krause (1979) and Campbell (2003), both through xraylib with
    the corrections of `overrides.csv`; M: Evaluated Atomic Data Library.
    """
    override = overrides().get((element, shell, "yield"))
    if override is not None:
        return float(override)
    number, index = atomic_number(element), SHELLS.index(shell)
    if index >= _FIRST_M:
        return float(m_shell_table().yields[number, index - _FIRST_M])
    return _value(xraylib.FluorYield, number, index)


def transitions(element: str, shell: str) -> list[Transition]:
    """Radiative transitions into a shell, with energies and shares.

    Returns
    -------
    list of Transition
        Those whose energy and rate are known; the rates of a shell add up to one within 3 %.

    Notes
    -----
    Rates of K and L are those of xraylib, those of M shells from Hf upwards of the Evaluated Atomic
    Data Library: on a spectrum of FePt xraylib's put too much into the weak lines of Pt M.
    """
    replaced = overrides()
    number = atomic_number(element)
    if SHELLS.index(shell) >= _FIRST_M and number >= _FIRST_M_RATES:
        return _m_transitions(number, shell)
    rate_number = atomic_number(replaced.get((element, shell, "rates_of"), element))
    found = []
    for name, code in _TRANSITIONS[shell]:
        rate = replaced.get((element, name, "rate")) or _value(xraylib.RadRate, rate_number, code)
        energy = replaced.get((element, name, "energy")) or _value(xraylib.LineEnergy, number, code)
        if float(rate) > 0 and float(energy) > 0:
            found.append(Transition(name, shell, float(energy), float(rate)))
    return found


def _m_transitions(number: int, shell: str) -> list[Transition]:
    """Transitions into an M shell with the rates of the shipped table."""
    rates = m_shell_table().rates[number, SHELLS.index(shell) - _FIRST_M]
    found = []
    for source, rate in zip(M_SOURCES, rates.tolist(), strict=True):
        code = _M_CODES.get((shell, source))
        energy = 0.0 if code is None else _value(xraylib.LineEnergy, number, code)
        if rate > 0 and energy > 0:
            found.append(Transition(f"{shell}-{source}", shell, energy, rate))
    return found


def natural_width_kev(element: str, line: str) -> float:
    """Full width at half maximum of a line before the detector.

    Parameters
    ----------
    element : str
    line : str
        For example "K-L3".

    Returns
    -------
    float
        keV. The widths of both levels (J. L. Campbell and T. Papp, Atomic Data and Nuclear Data
        Tables 77 (2001) 1, through xraylib) add up; one that is not tabulated counts as zero, that
        of a group such as "L3-O45" is of its first level.
    """
    number = atomic_number(element)
    levels = [re.sub(r"(\d)\d$", r"\1", level) for level in line.split("-")]
    codes = [getattr(xraylib, f"{level}_SHELL", None) for level in levels]
    return sum(_value(xraylib.AtomicLevelWidth, number, c) for c in codes if c is not None)


def vacancies(element: str, ionization: NDArray[np.float64]) -> NDArray[np.float64]:
    """Vacancies in every shell after the cascade, before they are filled.

    Parameters
    ----------
    element : str
    ionization : ndarray of shape (9,)
        Cross-sections for ionising K, L1 to L3, M1 to M5, barn.

    Returns
    -------
    ndarray of shape (9,)
        Effective cross-sections for a vacancy, barn.

    Notes
    -----
    L shells gain from K by radiative and Auger transitions, and from each other by Coster-Kronig
    transitions (xraylib): ``n_L2 = s_L2 + t_K2 n_K + f12 n_L1`` and
    ``n_L3 = s_L3 + t_K3 n_K + f13 n_L1 + f23 n_L2``. The M shells' gains from all shells are those
    of the Evaluated Atomic Data Library's cascade.
    """
    number = atomic_number(element)
    result = np.array(ionization, dtype=np.float64)
    k, l1, l2, l3 = range(4)
    for target in (l1, l2, l3):
        result[target] += result[k] * _k_transfer(element, SHELLS[target])
    result[l2] += result[l1] * _value(xraylib.CosKronTransProb, number, xraylib.FL12_TRANS)
    result[l3] += result[l1] * _value(xraylib.CosKronTransProb, number, xraylib.FL13_TRANS)
    result[l3] += result[l2] * _value(xraylib.CosKronTransProb, number, xraylib.FL23_TRANS)
    result[_FIRST_M:] = ionization @ m_shell_table().vacancies[number]
    return result


def _k_transfer(element: str, target: str) -> float:
    """Vacancies in an L shell per vacancy in K."""
    number = atomic_number(element)
    rates = {t.name: t.rate for t in transitions(element, "K")}
    radiative = fluorescence_yield(element, "K") * rates.get(f"K-{target}", 0.0)
    auger = sum(n * _value(xraylib.AugerRate, number, code) for n, code in _AUGER["K", target])
    return radiative + _value(xraylib.AugerYield, number, 0) * auger
