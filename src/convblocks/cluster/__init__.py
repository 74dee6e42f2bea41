"""Rejects wrong layouts of processes under Slurm and torchrun, and names a process that dies."""
