"""What buys speed by bending torch, Lightning or the C library; only ``fit``'s runs have it.

It changes no bit: so tested on CPU.
"""
