"""Draws figures and pages and writes tables and intervals in one style, for other wings."""
