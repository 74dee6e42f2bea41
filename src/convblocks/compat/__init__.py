"""What Lightning's finders, pruning and weight averaging need to work in a run, and to stay exact on a resume."""
