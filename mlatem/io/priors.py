# SPDX-License-Identifier: GPL-3.0-or-later
"""Priors files: YAML with the phases of a dataset, libraries of phases, masks and spectra."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from mlatem.errors import ConfigError
from mlatem.model.prior_conflicts import check_statements
from mlatem.model.priors import (
    KnownSpectrum,
    Mask,
    PhasePlaces,
    PhasePrior,
    Priors,
    parse_priors,
)

_CSV_COLUMNS = ("energy_kev", "counts")


def read_priors(path: str | PathLike[str]) -> Priors:
    """Priors of a YAML file, with all that it refers to: libraries, masks, spectra.

    Parameters
    ----------
    path : path-like
        Files that it names lie relative to its folder.

    Raises
    ------
    ConfigError
        If a file is missing or cannot be used, a phase or region is named that is not described, or
        statements about a phase contradict each other.
    """
    return completed(
        parse_priors(_yaml(Path(path)), source=str(path)), Path(path).parent, label=str(path)
    )


def completed(priors: Priors, folder: str | PathLike[str] = "", *, label: str = "priors") -> Priors:
    """Priors with the content of the files that they name, checked for contradictions.

    Parameters
    ----------
    priors : Priors
    folder : path-like, optional
        Folder to which the names of files are relative.
    label : str, optional
        Where the priors come from, for messages.

    Raises
    ------
    ConfigError
        As `read_priors`.
    """
    folder = Path(folder)
    library: dict[str, PhasePrior] = {}
    for name in priors.library:
        path = folder / name
        shared = parse_priors(_yaml(path), source=str(path))
        _check_library(shared, path)
        library |= {
            phase: _with_spectrum(prior, path.parent) for phase, prior in shared.phases.items()
        }
    try:
        result = priors.with_library(library)
        regions = {name: _with_mask(region, folder) for name, region in result.regions.items()}
        phases = {
            name: _with_masks(_with_spectrum(phase, folder), folder)
            for name, phase in result.phases.items()
        }
        for name, phase in phases.items():
            check_statements(name, phase)
    except ConfigError as error:
        raise ConfigError(f"{label}: {error}") from None
    return result.model_copy(update={"phases": phases, "regions": regions})


def places_of(path: str | PathLike[str]) -> dict[str, Any] | None:
    """The part of a priors file that speaks of places, JSON-safe; None where nothing does.

    Masks are named as seen from where `path` is. A file that cannot be read has none either: what
    needs all of it will say what is wrong.
    """
    try:
        priors = parse_priors(_yaml(Path(path)), source=str(path))
    except ConfigError:
        return None
    if all(phase.regions == PhasePlaces() for phase in priors.phases.values()):
        return None
    folder = Path(path).parent
    phases = {
        name: {
            "regions": {
                kind: [_dumped(place, folder) for place in places] for kind, places in phase.regions
            }
        }
        for name, phase in priors.phases.items()
    }
    regions = {name: _dumped(region, folder) for name, region in priors.regions.items()}
    return {"regions": regions, "phases": phases}


def files_of(path: str | PathLike[str]) -> list[str]:
    """The priors file and all files that it names, as far as it can be read."""
    try:
        priors = parse_priors(_yaml(Path(path)), source=str(path))
    except ConfigError:
        return [str(path)]
    folder, found = Path(path).parent, [Path(path)]
    for name in priors.library:
        found += [Path(file) for file in files_of(folder / name)]
    places = [place for p in priors.phases.values() for _, kind in p.regions for place in kind]
    masks = [r.mask for r in (*priors.regions.values(), *places) if isinstance(r, Mask)]
    spectra = [p.spectrum.file for p in priors.phases.values() if p.spectrum is not None]
    found += [folder / name for name in (*masks, *spectra) if isinstance(name, str)]
    return list(dict.fromkeys(str(file) for file in found))


def _dumped(region: Any, folder: Path) -> Any:
    if isinstance(region, str):
        return region
    if isinstance(region, Mask):
        return {"mask": str(folder / region.mask)}
    return region.model_dump(mode="json")


def _check_library(shared: Priors, path: Path) -> None:
    if shared.geometry is not None:
        raise ConfigError(
            f"{path}: geometry {shared.geometry!r} stands in a library, but is that of one map: "
            "write it into the priors of the dataset"
        )
    for name, prior in shared.phases.items():
        if prior.regions != PhasePlaces() or prior.like is not None or shared.library:
            raise ConfigError(
                f"{path}: phase {name!r} of a library has regions or refers to another library: "
                "write these into the priors of the dataset"
            )


def _yaml(path: Path) -> Mapping[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; name the YAML file of the priors") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); name a YAML file") from error
    except yaml.YAMLError as error:
        words = " ".join(str(error).split())
        raise ConfigError(f"{path}: not valid YAML ({words}); correct the marked place") from None
    if not isinstance(content, Mapping):
        raise ConfigError(f"{path}: holds {type(content).__name__}, expected the key `phases`")
    return content


def _with_spectrum(prior: PhasePrior, folder: Path) -> PhasePrior:
    if prior.spectrum is None or prior.spectrum.file is None:
        return prior
    path = folder / prior.spectrum.file
    try:
        table = pd.read_csv(path, comment="#")
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); name a CSV file") from None
    columns = list(_CSV_COLUMNS)
    if list(table.columns) != columns or not all(table.dtypes.map(pd.api.types.is_numeric_dtype)):
        raise ConfigError(
            f"{path}: expected the columns {', '.join(columns)} with a number in each row, found "
            f"{', '.join(map(str, table.columns))}"
        )
    values = {name: table[name].tolist() for name in columns}
    return prior.model_copy(update={"spectrum": KnownSpectrum(**values)})


def _with_masks(prior: PhasePrior, folder: Path) -> PhasePrior:
    places = {
        kind: tuple(_with_mask(place, folder) for place in getattr(prior.regions, kind))
        for kind in PhasePlaces.model_fields
    }
    return prior.model_copy(update={"regions": prior.regions.model_copy(update=places)})


def _with_mask(region: Any, folder: Path) -> Any:
    """A region, its mask read if it is named."""
    if not isinstance(region, Mask) or not isinstance(region.mask, str):
        return region
    path = folder / region.mask
    try:
        mask = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); name a NumPy file (.npy)") from None
    return Mask(mask=mask)
