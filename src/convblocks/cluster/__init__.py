"""Slurm and torchrun: wrong layouts of processes are refused, and a lost process is named."""
