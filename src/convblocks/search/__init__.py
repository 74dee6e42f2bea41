"""Searches for better settings, with Optuna, on the trials of a comparison."""

from importlib.util import find_spec

from convblocks.errors import UserError

if find_spec("optuna") is None:
    raise UserError("optuna not found: pip install optuna")
