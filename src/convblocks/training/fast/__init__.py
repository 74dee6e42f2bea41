"""Speed-ups that patch torch, Lightning or the C library; only runs of ``fit`` use them.

Results are bit-identical on CPU, which tests check.
"""
