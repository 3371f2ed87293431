# SPDX-License-Identifier: GPL-3.0-or-later
"""One run at a time on a folder of results, and none of another campaign."""

from __future__ import annotations

import errno
import fcntl
import os
import platform
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from mlatem.errors import ConfigError, StoreError
from mlatem.io.atomic import read_json, write_json

#: Locked by the process that runs the campaign, for as long as it lives.
LOCK = ".running"
#: Whose results these are; read without touching the lock.
RECORD = ".campaign.json"

_RUN_ID = re.compile(r"SLURM run ID: (\S+)")
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}


@dataclass
class Claim:
    """A lock that ends with `release`, or with the process, however that ends."""

    lock: TextIO

    def release(self) -> None:
        """Let others run."""
        self.lock.close()


def claim(results: Path, campaign: Path) -> Claim:
    """Claim a folder of results for a campaign.

    Parameters
    ----------
    results : Path
        Created if it does not exist.
    campaign : Path
        Folder of the campaign.

    Raises
    ------
    ConfigError
        If another process, on any machine that shares the folder, works on these results, or they
        belong to another campaign that is still there.
    StoreError
        If the folder cannot be written.
    """
    try:
        results.mkdir(parents=True, exist_ok=True)
        lock = (results / LOCK).open("a", encoding="utf-8")
    except OSError as error:
        raise StoreError(
            f"{results}: results cannot be written there ({error.strerror}): mend the folder's "
            "permissions or its disk, or choose another folder for the campaign"
        ) from None
    try:
        _refuse_foreign(results, campaign)
    except ConfigError:
        lock.close()
        raise
    try:
        # Of POSIX, not of BSD: it works over NFS, and is not inherited by the jobs.
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            lock.close()
            raise ConfigError(
                f"{results}: another run works on these results{_by_whom(results)}. Wait for it, "
                "or end it first"
            ) from None
    write_json(
        results / RECORD,
        {
            "campaign": str(campaign.resolve()),
            "machine": platform.node(),
            "process": os.getpid(),
            "since": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        },
    )
    return Claim(lock)


def is_running(results: Path) -> bool:
    """Whether a process works on the results; False where the file system has no locks."""
    try:
        with (results / LOCK).open("r+", encoding="utf-8") as lock:
            try:
                fcntl.lockf(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError as error:
                return error.errno not in _NO_LOCKS
    except OSError:
        return False
    return False


def cancel_orphans(logs: Path, *, wait_s: float = 60.0) -> list[str]:
    """Cancel what earlier runs of a campaign left in the queue of SLURM.

    To be called by the run that holds the claim: whoever submitted these jobs is gone, nobody looks
    at them any more, and the same work is submitted again.

    Parameters
    ----------
    logs : Path
        Snakemake's own, in which each run on SLURM left its name.
    wait_s : float, optional
        How long to wait until the jobs are gone.

    Returns
    -------
    numbers : list of str
        Of the jobs.
    """
    texts = (log.read_text(encoding="utf-8", errors="replace") for log in logs.glob("*.log"))
    runs = {name for text in texts for name in _RUN_ID.findall(text)}
    if not runs or shutil.which("squeue") is None:
        return []
    found = _jobs_of(runs)
    if found:
        subprocess.run(["scancel", *found], capture_output=True, check=False)
    end = time.monotonic() + wait_s
    while _jobs_of(runs) and time.monotonic() < end:
        time.sleep(1.0)
    return found


def _jobs_of(runs: set[str]) -> list[str]:
    """Numbers of the user's jobs in SLURM's queue that belong to the runs named."""
    command = ["squeue", "--me", "--noheader", "--format", "%i|%j"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    pairs = [line.partition("|") for line in done.stdout.splitlines()]
    return [number for number, _, name in pairs if name in runs]


def _refuse_foreign(results: Path, campaign: Path) -> None:
    record = _record(results)
    owner = Path(record.get("campaign", campaign))
    if owner == campaign.resolve() or not owner.is_dir():
        return
    theirs = owner / "results"
    if theirs.exists() and theirs.samefile(results):
        raise ConfigError(
            f"{results}: these are the results of another campaign, {owner}. Give this campaign a "
            f"folder of results of its own; if it replaces the other, remove {results / RECORD}"
        )


def _record(results: Path) -> dict[str, str]:
    try:
        record = read_json(results / RECORD)
    except StoreError:
        return {}
    return record if isinstance(record, dict) else {}


def _by_whom(results: Path) -> str:
    record = _record(results)
    known = {key: record.get(key, "?") for key in ("process", "machine", "since")}
    return " (process {process} on {machine}, since {since})".format(**known) if record else ""
