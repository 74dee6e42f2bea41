"""``compare`` trains several runs and reports their statistics; ``benchmark`` finds a machine's fastest settings."""
