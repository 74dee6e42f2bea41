"""Makes Lightning's finders, pruning and weight averaging work in a run and resume exactly."""
