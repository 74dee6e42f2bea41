"""Rejects wrong layouts of processes under Slurm and torchrun, and lets the first
process say why a run ends.
"""
