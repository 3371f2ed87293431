# SPDX-License-Identifier: GPL-3.0-or-later
"""The errors that users meet.

Each message says what, which value, what was expected, and the mend.
"""

from __future__ import annotations

from os import PathLike
from typing import Any


class MlatemError(Exception):
    """Base of every error that MLATEM raises on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Said outright: packages that teach pickle more of errors fail on those of built-in kinds.
        return type(self), self.args


class InputError(MlatemError, ValueError):
    """Data or arguments that cannot be used as they are."""


class ConfigError(MlatemError, ValueError):
    """A configuration, sample sheet or command line that contradicts itself or is misspelt."""


class StoreError(MlatemError, OSError):
    """A MLATEM store that is incomplete, of another schema, or cannot be written."""


class ReadError(MlatemError, OSError):
    """A raw file that cannot be read.

    Parameters
    ----------
    path : path-like
        The file, named in the message.
    cause : str
        What is wrong with it.
    mend : str
        What the user can do.
    """

    def __init__(self, path: str | PathLike[str], cause: str, mend: str) -> None:
        super().__init__(f"{path}: {cause}. {mend}")
        self.path = str(path)
        self.cause = cause
        self.mend = mend

    def __reduce__(self) -> tuple[type, tuple[str, str, str]]:
        return type(self), (self.path, self.cause, self.mend)


class MemoryLimitError(MlatemError, MemoryError):
    """Work refused before it starts because its projected memory exceeds the limit."""


class ConvergenceError(MlatemError, ArithmeticError):
    """A solver that could not reach an answer; never returned as if it were one."""


class WorkerError(MlatemError, RuntimeError):
    """Worker processes that cannot be started or reached, are of another version, or die."""
