# SPDX-License-Identifier: GPL-3.0-or-later
"""Factors from intensities to amounts: k, zeta and cross-section, each with what it is good for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from mlatem.elements import atomic_number
from mlatem.errors import InputError
from mlatem.model.line_names import family_of, line_name

FactorKind = Literal["k", "zeta", "cross_section"]
Basis = Literal["weight", "atom"]

#: Unit of each kind; a cross-section holds efficiency and solid angle (MacArthur et al. 2016).
UNITS: dict[str, str] = {"k": "1", "zeta": "kg/m2", "cross_section": "barn"}

#: A factor is used at another beam energy if that differs by no more than this share.
BEAM_ENERGY_TOLERANCE = 0.02


@dataclass(frozen=True)
class Factor:
    """One factor of one line.

    The kinds are those of the literature: with I counts, C the weight (or atomic) fraction, N_e
    electrons, A the atomic weight, N_A Avogadro's number,

    - k of line A against the reference B: C_A / C_B = k I_A / I_B (Cliff and Lorimer 1975);
    - zeta: C_A rho t = zeta I_A / N_e (Watanabe and Williams 2006, eq. 2);
    - cross-section: I_A = N_e n_A sigma with n_A atoms per area, sigma = A / (N_A zeta), detector
      and solid angle included (MacArthur et al. 2016).
    """

    element: str
    line: str
    """Canonical, see `mlatem.model.line_names.line_name`: which lines the intensity holds."""
    kind: FactorKind
    value: float
    sigma: float | None
    """One standard deviation in the unit of the value; None where it is not known."""
    beam_energy_kev: float
    unit: str
    basis: Basis = "weight"
    """Of k: whether C are weight or atomic fractions."""
    reference_element: str = ""
    """Of k."""
    reference_line: str = ""
    """Of k."""
    source: str = ""
    """Where the number comes from: a standard, a publication, a program."""

    def __post_init__(self) -> None:
        self.validate()

    @property
    def family(self) -> str:
        """Element and family, "Fe K"."""
        return f"{self.element} {family_of(self.line)}"

    @property
    def relative_sigma(self) -> float | None:
        """Standard deviation over value."""
        return None if self.sigma is None else self.sigma / self.value

    def validate(self) -> None:
        """Check names, numbers and units.

        Raises
        ------
        InputError
            Naming the field and the mend.
        """
        atomic_number(self.element)
        if self.kind not in get_args(FactorKind):
            raise InputError(
                f"kind {self.kind!r} of {self.element} is unknown: expected one of "
                f"{', '.join(get_args(FactorKind))}"
            )
        if self.line != line_name(self.line):
            raise InputError(f"line {self.line!r} of {self.element}: write {line_name(self.line)}")
        label = f"{self.kind} of {self.element} {self.line}"
        if not (math.isfinite(self.value) and self.value > 0):
            raise InputError(f"{label} is {self.value}: expected a number above 0")
        if self.sigma is not None and not 0 <= self.sigma < math.inf:
            raise InputError(
                f"sigma of {label} is {self.sigma}: expected 0 or more, or nothing where unknown"
            )
        if not (math.isfinite(self.beam_energy_kev) and self.beam_energy_kev > 0):
            raise InputError(
                f"beam energy of {label} is {self.beam_energy_kev}: a factor holds at one beam "
                "energy only, give it in keV"
            )
        if self.unit != UNITS[self.kind]:
            raise InputError(
                f"unit of {label} is {self.unit!r}: expected {UNITS[self.kind]!r}; convert the "
                "value"
            )
        self._check_reference(label)

    def _check_reference(self, label: str) -> None:
        if self.kind != "k":
            if self.reference_element or self.reference_line:
                raise InputError(f"{label} is absolute: leave its reference empty")
            return
        if self.basis not in get_args(Basis):
            raise InputError(f"basis of {label} is {self.basis!r}: expected weight or atom")
        if not (self.reference_element and self.reference_line):
            raise InputError(
                f"{label} has no reference: a k-factor relates two lines, give reference_element "
                "and reference_line, for example Si and K"
            )
        atomic_number(self.reference_element)
        if self.reference_line != line_name(self.reference_line):
            raise InputError(
                f"reference line {self.reference_line!r} of {label}: write "
                f"{line_name(self.reference_line)}"
            )


@dataclass(frozen=True)
class FactorTable:
    """Factors of lines, at most one of a kind for each family of an element and beam energy."""

    factors: tuple[Factor, ...]
    name: str = "factor table"
    """For messages and `factor_source`: the file's name."""

    def __post_init__(self) -> None:
        self.validate()

    @property
    def kinds(self) -> tuple[FactorKind, ...]:
        """Kinds of the rows, in the order in which they are preferred: absolute ones first."""
        present = {factor.kind for factor in self.factors}
        return tuple(k for k in ("zeta", "cross_section", "k") if k in present)

    def at(self, beam_energy_kev: float) -> FactorTable:
        """The rows that hold at a beam energy.

        Raises
        ------
        InputError
            If there is none.
        """
        allowed = BEAM_ENERGY_TOLERANCE * beam_energy_kev
        rows = [f for f in self.factors if abs(f.beam_energy_kev - beam_energy_kev) <= allowed]
        if not rows:
            known = ", ".join(f"{e:g}" for e in sorted({f.beam_energy_kev for f in self.factors}))
            raise InputError(
                f"{self.name}: no factor for a beam energy of {beam_energy_kev:g} keV (it has "
                f"{known} keV): factors change with the beam energy; measure them at this one "
                "(`mlatem calibrate-factors`) or compute them (`mlatem factors`)"
            )
        return FactorTable(tuple(rows), self.name)

    def of_kind(self, kind: FactorKind) -> tuple[Factor, ...]:
        """The rows of one kind.

        Raises
        ------
        InputError
            If there is none.
        """
        rows = tuple(factor for factor in self.factors if factor.kind == kind)
        if not rows:
            raise InputError(
                f"{self.name}: no factor of kind {kind} (it has {', '.join(self.kinds)}): give "
                "such rows, or set quantify.method to one that uses what is there"
            )
        return rows

    def check_elements(self, elements: Iterable[str]) -> None:
        """Check that every element has a factor.

        Raises
        ------
        InputError
            Naming those that have none.
        """
        known = {factor.element for factor in self.factors}
        known |= {factor.reference_element for factor in self.factors}
        missing = [element for element in elements if element not in known]
        if missing:
            raise InputError(
                f"{self.name}: no factor for {', '.join(missing)}: add a row for each (`mlatem "
                f"factors --elements {','.join(missing)}` computes them)"
            )

    def to_dict(self) -> dict[str, Any]:
        """The table as JSON-safe values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> FactorTable:
        """The inverse of `to_dict`."""
        return cls(tuple(Factor(**row) for row in values["factors"]), values["name"])

    def validate(self) -> None:
        """Check that there are rows and that none contradicts another.

        Raises
        ------
        InputError
            Naming the rows and the mend.
        """
        if not self.factors:
            raise InputError(f"{self.name} has no rows: give at least one factor")
        seen: dict[tuple[str, str, float], int] = {}
        for number, factor in enumerate(self.factors, start=1):
            key = (factor.kind, factor.family, factor.beam_energy_kev)
            if key in seen:
                first = self.factors[seen[key] - 1]
                lines = "" if first.line == factor.line else f" ({first.line} and {factor.line})"
                raise InputError(
                    f"{self.name}, rows {seen[key]} and {number}: {factor.kind} of "
                    f"{factor.family}{lines} at {factor.beam_energy_kev:g} keV is defined twice: "
                    "keep one row for a family of lines"
                )
            seen[key] = number


def factor_from_text(cells: Mapping[str, str]) -> Factor:
    """A factor from the cells of a table.

    Parameters
    ----------
    cells : mapping of str to str
        By the names of the fields of `Factor`; line names in any notation, empty cells for
        defaults.

    Raises
    ------
    InputError
        Naming the cell, its content and what was expected.
    """
    given = {name: text.strip() for name, text in cells.items() if text and text.strip()}
    for name in ("element", "line", "kind", "value", "beam_energy_kev"):
        if name not in given:
            raise InputError(f"{name} is empty: every row needs it")
    element, reference = given["element"], given.get("reference_element", "")
    atomic_number(element)
    kind = given["kind"]
    return Factor(
        element=element,
        line=line_name(given["line"], element),
        kind=kind,  # type: ignore[arg-type]  # checked by the record
        value=_number(given, "value"),
        sigma=_number(given, "sigma") if "sigma" in given else None,
        beam_energy_kev=_number(given, "beam_energy_kev"),
        unit=given.get("unit", UNITS.get(kind, "")),
        basis=given.get("basis", "weight"),  # type: ignore[arg-type]  # checked by the record
        reference_element=reference,
        reference_line=(
            line_name(given["reference_line"], reference) if "reference_line" in given else ""
        ),
        source=given.get("source", ""),
    )


def _number(given: Mapping[str, str], name: str) -> float:
    try:
        return float(given[name])
    except ValueError:
        raise InputError(f"{name} is {given[name]!r}: expected a number") from None


def factor_to_text(factor: Factor) -> dict[str, str]:
    """The cells of a factor; the inverse of `factor_from_text`, exact to the last digit."""
    cells = asdict(factor)
    return {name: "" if value is None else str(value) for name, value in cells.items()}
