"""Several runs: which network is better, and how sure that is."""
