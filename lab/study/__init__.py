"""``study`` finds which network is better, each at its own best setting."""
