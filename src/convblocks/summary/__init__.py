"""`summary` prints the layers, output shapes and parameters of the networks."""
