"""``compare`` trains several runs and reports their statistics."""
