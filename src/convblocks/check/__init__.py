"""Proves that a training is exact: whether it ends with the same bits when it is
stopped and resumed.
"""
