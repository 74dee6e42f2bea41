"""Proves that a run is exact: whether it ends with the same bits when it is stopped and
resumed.
"""
