"""What buys speed by bending torch, Lightning or the C library; only ``fit``'s runs have it, and it changes no bit."""
