"""A library for other wings: figures and pages in one style, tables, numbers with their intervals."""
