"""What proves the claims of the documentation: the study, the benchmarks and the pages;
not installed.
"""

# The networks that the study and the benchmarks compare, whatever else the package has:
# those of the course's notebook.
NETWORKS = ("mlp", "maxpool", "batchnorm")
