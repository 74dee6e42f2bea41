"""``compare`` and ``benchmark``: several runs, their statistics, and one report."""
