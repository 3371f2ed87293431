# SPDX-License-Identifier: GPL-3.0-or-later
"""A throw-away SLURM of virtual nodes on this machine, for tests: no systemd, cgroups or network.

Needs the daemons of Debian's packages (`PACKAGES`) and may run as root or as any user. All that it
writes lies in one folder; only processes that it started are ever signalled. By hand:

    python tests/cluster/virtual_slurm.py FOLDER    # prints the environment, stops at Ctrl-C
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
#: After this time without a word from a node SLURM takes it for lost.
NODE_TIMEOUT_S = 10
PARTITION = "short"

_DAEMONS = ("munged", "slurmctld", "slurmd")
_CLIENTS = ("sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo", "sacct", "sacctmgr")
_SBIN = ("/usr/sbin", "/sbin")
_CONF = """\
ClusterName=virtual
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=5,batch_sched_delay=0
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
MinJobAge=600
KillWait=2
SlurmctldTimeout=30
SlurmdTimeout={node_timeout_s}
OverTimeLimit=0
"""


def missing() -> list[str]:
    """Programs that are not installed."""
    return [name for name in (*_DAEMONS, "sbatch") if _program(name) is None]


def _program(name: str) -> str | None:
    return shutil.which(name, path=os.pathsep.join((*_SBIN, os.environ.get("PATH", ""))))


@dataclass
class VirtualSlurm:
    """A running cluster; see `cluster`."""

    folder: Path
    n_nodes: int = 3
    cpus: int = 2
    memory_mb: int = 6000
    _processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """Variables with which SLURM's clients find this cluster."""
        path = os.pathsep.join((str(self.folder / "bin"), os.environ.get("PATH", "")))
        return {**os.environ, "SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": path}

    @property
    def nodes(self) -> list[str]:
        """Names of the nodes."""
        return [f"n{number}" for number in range(1, self.n_nodes + 1)]

    def start(self) -> None:
        """Bring the cluster up and wait until every node is idle."""
        for name in ("run", "log", "state", "munge", "bin", *(f"spool/{n}" for n in self.nodes)):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "munge").chmod(0o700)
        key = self.folder / "munge" / "key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)
        self._write_configuration()
        self._write_clients()
        munge = self.folder / "munge"
        self._spawn(
            "munged",
            *("--foreground", "--force", f"--key-file={key}", f"--socket={munge}/socket"),
            *(f"--pid-file={munge}/pid", f"--log-file={munge}/log", f"--seed-file={munge}/seed"),
            "--num-threads=2",
        )
        wait_until((munge / "socket").exists, 10, "munged")
        # Others of the cluster reach the socket through its folder.
        (self.folder / "munge").chmod(0o711)
        self._spawn("slurmctld", "-D", "-f", str(self.folder / "slurm.conf"))
        wait_until(lambda: self.run("scontrol", "ping").returncode == 0, 30, "slurmctld")
        for node in self.nodes:
            self.start_node(node)
        wait_until(lambda: self.states() == {"idle"}, 60, "idle nodes")

    def stop(self) -> None:
        """End what was started."""
        self.run("scancel", "--user", getpass.getuser())
        for name in [*self.nodes, "slurmctld", "munged"]:
            process = self._processes.pop(name, None)
            if process is None or process.poll() is not None:
                continue
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def start_node(self, node: str) -> None:
        """Start the daemon of a node."""
        self._spawn(node, "-D", "-N", node, program="slurmd")

    def lose_node(self, node: str) -> None:
        """Kill the daemon of a node: SLURM hears no more of it, its jobs go on as orphans."""
        process = self._processes.pop(node)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def suspend(self, job: str) -> None:
        """Stop all processes of a job; what cancels the job wakes them up first."""
        self.run("scontrol", "suspend", job).check_returncode()

    def resume(self, job: str) -> None:
        """Let a job that was suspended go on."""
        self.run("scontrol", "resume", job).check_returncode()

    def states(self) -> set[str]:
        """States of the nodes."""
        return set(self.run("sinfo", "-hN", "-o", "%T").stdout.split())

    def state_of(self, node: str) -> str:
        """State of one node."""
        return self.run("sinfo", "-hN", "-n", node, "-o", "%T").stdout.strip()

    def jobs(self, *options: str) -> list[list[str]]:
        """Waiting and running jobs: number, state, node, comment (the rule and its wildcards)."""
        text = self.run("squeue", "-h", "-o", "%i|%T|%N|%k", *options).stdout
        return [line.split("|") for line in text.splitlines()]

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a client of this cluster."""
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=60, check=False
        )

    def _spawn(self, name: str, *arguments: str, program: str | None = None) -> None:
        executable = _program(program or name)
        assert executable is not None, f"{program or name} is not installed"
        with (self.folder / "log" / f"{name}.out").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [executable, *arguments],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _write_configuration(self) -> None:
        host = socket.gethostname().split(".")[0]
        ports = _free_ports(1 + self.n_nodes)
        text = _CONF.format(
            host=host,
            port=ports[0],
            user=getpass.getuser(),
            folder=self.folder,
            node_timeout_s=NODE_TIMEOUT_S,
        )
        for node, port in zip(self.nodes, ports[1:], strict=True):
            text += (
                f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} "
                f"CPUs={self.cpus} RealMemory={self.memory_mb} State=UNKNOWN\n"
            )
        text += f"PartitionName={PARTITION} Nodes=ALL Default=YES MaxTime=INFINITE State=UP\n"
        (self.folder / "slurm.conf").write_text(text)

    def _write_clients(self) -> None:
        # The job step plugin of Snakemake drops SLURM_CONF from the environment of its srun.
        for name in _CLIENTS:
            program = _program(name)
            if program is not None:
                script = self.folder / "bin" / name
                conf = self.folder / "slurm.conf"
                script.write_text(f'#!/bin/sh\nSLURM_CONF={conf} exec {program} "$@"\n')
                script.chmod(0o755)


@contextlib.contextmanager
def cluster(folder: Path, **options: int) -> Iterator[VirtualSlurm]:
    """A cluster that runs within the block."""
    found = VirtualSlurm(folder, **options)
    try:
        found.start()
        yield found
    finally:
        found.stop()


def wait_until(
    condition: Callable[[], bool], seconds: float, what: str, *, every_s: float = 0.2
) -> None:
    """Wait for a condition.

    Raises
    ------
    TimeoutError
    """
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(every_s)


def _free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def main() -> None:
    """A cluster until Ctrl-C."""
    with cluster(Path(sys.argv[1]).resolve()) as running:
        sys.stdout.write(
            f"export SLURM_CONF={running.environment['SLURM_CONF']} "
            f"PATH={running.folder / 'bin'}:$PATH\n"
        )
        sys.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    main()
