"""Trials as tasks of a Ray cluster, whose nodes see the same folder: a trial whose node
dies resumes on another.
"""

import os
import signal
import socket
import time
from importlib.util import find_spec
from multiprocessing import Pipe
from pathlib import Path

from convblocks.compare.launch import Process, Start, fit_all
from convblocks.compare.places import StartHere
from convblocks.compare.trials import Trial
from convblocks.errors import UserError, one_line
from convblocks.record.result import Overrides

if find_spec("ray") is None:
    raise UserError("ray not found: pip install ray")
import ray
from ray.exceptions import RayError, RayTaskError

# Seconds to wait for the cluster, and for a stopped trial to save its state.
CONNECT_SECONDS = 5
STOP_SECONDS = 30


def connect(options: Overrides) -> tuple[Start, int]:
    """A function that starts trials with these options on the cluster, and the number of trials
    that it has room for.

    A trial takes ``--threads`` CPUs, and one GPU where the cluster has some and the
    trial may use them.

    Raises:
        UserError: there is no cluster, it refuses us, or none of its nodes has so many
            CPUs.
    """
    _join_cluster(os.environ.get("RAY_ADDRESS") or "auto")
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    settings = dict(options)
    needs = {"CPU": int(settings["threads"])}
    if any("GPU" in node for node in nodes) and settings.get("trainer.accelerator") != "cpu":
        needs["GPU"] = 1
    places = 0
    for node in nodes:
        places += min(int(node.get(kind, 0) // count) for kind, count in needs.items())
    if not places:
        raise UserError(f"no node of the Ray cluster has {needs} for a trial: give other --threads")
    environment = {
        name: value for name, value in os.environ.items() if name.startswith("CONVBLOCKS_")
    }
    # The cluster may have been started within a Slurm job, which is none of the trials' business.
    environment["CONVBLOCKS_SLURM"] = "0"
    task = ray.remote(num_cpus=needs["CPU"], num_gpus=needs.get("GPU", 0))(_run)
    folder = Path.cwd()

    def start(trial: Trial) -> Process:
        stop = trial.log.with_suffix(".stop")
        stop.unlink(missing_ok=True)
        return _Task(task.remote(trial, folder, environment, stop), stop)

    return start, places


def _join_cluster(address: str) -> None:
    host, _, port = address.rpartition(":")
    try:
        if host.count(":") == 0 and port.isdigit():  # Ray itself tries for minutes
            socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (OSError, ValueError, RuntimeError, RayError) as error:
        reason = one_line(error)
        raise UserError(
            f"cannot use the Ray cluster at RAY_ADDRESS={address} ({reason}): "
            "start one with ray start --head, and the same RAY_AUTH_TOKEN"
        ) from error


class _Task:
    """The process that a task of the cluster stands for.

    A file asks it to stop: ``ray.cancel`` at an unlucky moment ends the caller with a
    failed check within Ray. With this process Ray kills it.
    """

    pid = None

    def __init__(self, reference: "ray.ObjectRef[int]", stop: Path) -> None:
        self._reference = reference
        self._stop = stop
        self._deadline = 0.0
        self.sentinel, ended = Pipe(duplex=False)
        reference.future().add_done_callback(lambda _: ended.close())

    @property
    def exitcode(self) -> int | None:
        """The exit code of the trial; None while it runs, also again after its node has died."""
        if not ray.wait([self._reference], timeout=0)[0]:
            return None
        self._stop.unlink(missing_ok=True)
        try:
            return int(ray.get(self._reference))
        except RayTaskError as error:
            raise UserError(
                f"a node of the Ray cluster cannot run trials: {str(error).splitlines()[-1]}"
            ) from error
        except RayError:  # killed, with its node or for its memory, more often than Ray tries again
            return -signal.SIGKILL

    def terminate(self) -> None:
        if not self._stop.exists():
            self._stop.touch()
            self._deadline = time.monotonic() + STOP_SECONDS

    def join(self) -> None:
        """Wait until the trial has saved its state; what takes too long is killed with
        the end of this process.
        """
        if ray.wait([self._reference], timeout=max(self._deadline - time.monotonic(), 0))[0]:
            self._stop.unlink(missing_ok=True)


def _run(trial: Trial, folder: Path, environment: dict[str, str], stop: Path) -> int:
    """Run a trial on a node of the cluster as on one machine: killed, its own process ends too."""
    os.chdir(folder)
    os.environ.update(environment)
    queue = iter([] if stop.exists() else [trial])
    ended = list(fit_all(lambda: next(queue, None), 1, StartHere(), lambda _: stop.exists()))
    return ended[0][1] if ended else -signal.SIGTERM
