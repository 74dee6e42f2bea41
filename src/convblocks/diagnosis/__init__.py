"""Dead units in each epoch, collapse, and at the end what is wrong with a run and what to try next."""
