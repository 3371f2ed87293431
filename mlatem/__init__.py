# SPDX-License-Identifier: GPL-3.0-or-later
"""Machine learning tools for analytical TEM: spectrum images to quantified phases.

The functions below work from a notebook; the workflow and the command line call the same ones.
They are imported when first used, so that `import mlatem` is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlatem.api import (  # noqa: F401
        calibrate,
        denoise,
        edxs_dictionary,
        factorize,
        find_rare_phases,
        identify,
        other_answer,
        quantify,
        quantify_pixels,
        reconstruct,
        refine,
    )
    from mlatem.io.datasets import load_dataset as load  # noqa: F401
    from mlatem.io.export import to_hyperspy  # noqa: F401
    from mlatem.io.factor_tables import read_factor_table as read_factors  # noqa: F401
    from mlatem.io.read import read  # noqa: F401
    from mlatem.io.store import open_store as open  # noqa: F401
    from mlatem.io.validate import validate_store  # noqa: F401
    from mlatem.model import Dictionary  # noqa: F401
    from mlatem.parallel.workers import spread_over  # noqa: F401
    from mlatem.steps.convert import convert  # noqa: F401
    from mlatem.steps.export import export  # noqa: F401
    from mlatem.steps.simulate import simulate  # noqa: F401

__version__ = "0.1.0"

_HOMES = {
    "Dictionary": ("mlatem.model", "Dictionary"),
    "calibrate": ("mlatem.api", "calibrate"),
    "convert": ("mlatem.steps.convert", "convert"),
    "denoise": ("mlatem.api", "denoise"),
    "edxs_dictionary": ("mlatem.api", "edxs_dictionary"),
    "export": ("mlatem.steps.export", "export"),
    "factorize": ("mlatem.api", "factorize"),
    "find_rare_phases": ("mlatem.api", "find_rare_phases"),
    "identify": ("mlatem.api", "identify"),
    "load": ("mlatem.io.datasets", "load_dataset"),
    "mass_thickness": ("mlatem.api", "mass_thickness"),
    "open": ("mlatem.io.store", "open_store"),
    "other_answer": ("mlatem.api", "other_answer"),
    "quantify": ("mlatem.api", "quantify"),
    "quantify_pixels": ("mlatem.api", "quantify_pixels"),
    "read": ("mlatem.io.read", "read"),
    "read_factors": ("mlatem.io.factor_tables", "read_factor_table"),
    "reconstruct": ("mlatem.api", "reconstruct"),
    "refine": ("mlatem.api", "refine"),
    "simulate": ("mlatem.steps.simulate", "simulate"),
    "spread_over": ("mlatem.parallel.workers", "spread_over"),
    "to_hyperspy": ("mlatem.io.export", "to_hyperspy"),
    "validate_store": ("mlatem.io.validate", "validate_store"),
}

__all__ = ["__version__", *_HOMES]  # noqa: PLE0604 - the keys are strings


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mlatem' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    value = getattr(importlib.import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
