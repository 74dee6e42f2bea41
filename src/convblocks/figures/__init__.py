"""Figures: one style, and a function for each panel."""
