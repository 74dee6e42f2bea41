"""Makes Lightning's pruning and averages of weights work in a run."""
