"""``search`` looks for better settings with Optuna, and confirms them with fresh seeds."""

from importlib.util import find_spec

from convblocks.errors import UserError

if find_spec("optuna") is None:
    raise UserError("optuna not found: pip install optuna")
