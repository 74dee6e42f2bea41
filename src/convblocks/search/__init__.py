"""Choosing settings, trial by trial, on a comparison's trials."""

from importlib.util import find_spec

from convblocks.errors import UserError

if find_spec("optuna") is None:
    raise UserError('optuna not found: install the extra with pip install -e ".[search]"')
