"""Measures dead units each epoch, detects collapse, and says at the end what went wrong
and what to try next.
"""
