# SPDX-License-Identifier: GPL-3.0-or-later
"""What an identification of elements decided, and what the data say of a list, in words."""

from __future__ import annotations

from collections.abc import Sequence

from mlatem import settings as _settings
from mlatem.model import Decision, Identification, Verdict

_STAGE = "calibrate"


def decision(identification: Identification) -> Decision:
    """What was chosen where no elements were named."""
    names = ", ".join(identification.elements)
    weakest = min(
        (e for e in identification.found if e.element in identification.elements),
        key=lambda e: e.likelihood_ratio,
    )
    return Decision(
        _STAGE,
        f"elements identified: {names}",
        f"likelihood ratios of {weakest.likelihood_ratio:.0f} ({weakest.element}) and more",
        "column elements",
    )


def verdicts(
    identification: Identification, listed: Sequence[str], settings: _settings.Identify
) -> tuple[Verdict, ...]:
    """What the data say of the elements, for people."""
    if not listed:
        n_used = len(identification.elements)
        doubtful = [e.element for e in identification.found if e.rank == "minor" and e.hint]
        more = f"; look at {', '.join(doubtful)}" if doubtful else ""
        return (
            Verdict(
                "elements",
                float(n_used),
                None,
                "",
                "good" if not doubtful else "warning",
                "identified by likelihood ratio, give the column elements to override" + more,
            ),
        )
    ratio = {e.element: e.likelihood_ratio for e in identification.found}
    unseen = [e for e in listed if ratio.get(e, 0.0) < settings.threshold]
    more_found = [e for e in identification.elements if e not in listed]
    return (
        Verdict(
            "listed elements not seen",
            float(len(unseen)),
            0.0,
            "",
            "warning" if unseen else "good",
            f"{', '.join(unseen)}: leave out what the specimen does not hold"
            if unseen
            else "the data show every element of the list",
        ),
        Verdict(
            "elements not listed",
            float(len(more_found)),
            0.0,
            "",
            "warning" if more_found else "good",
            f"{', '.join(more_found)}: add what is in the specimen to elements, what is in the "
            "instrument to system_elements"
            if more_found
            else "the data show no element beyond the list",
        ),
    )
