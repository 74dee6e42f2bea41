"""What proves the claims of the documentation: the study, the benchmarks and the pages; not installed."""
