"""Slurm without Lightning's own requeueing, and a message that names lost processes."""

from convblocks.cluster.layout import cluster_environments
from convblocks.cluster.rank_failure import RankFailureMonitor
from convblocks.run.run import Run


def make(run: Run) -> RankFailureMonitor:
    """For every run; with one process it does nothing.

    Raises:
        UsageError: Lightning cannot use this job's layout.
    """
    run.trainer_arguments["plugins"] += cluster_environments(run.settings["trainer"])
    return RankFailureMonitor(run.directory.path, run.resume_hint)
