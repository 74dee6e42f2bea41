"""Exact resume for any Lightning Trainer: a training that is killed at any moment, and
resumed, ends with the same bits as one that nothing stopped.

    from exact_resume import ExactResume

    resume = ExactResume("run/last.ckpt")
    trainer = Trainer(max_epochs=10, callbacks=[resume])
    trainer.fit(model, datamodule=data, ckpt_path=resume.ckpt_path)

README.md beside this file says what is kept, and what is not.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from exact_resume.errors import ResumeError, Stopped

if TYPE_CHECKING:
    from exact_resume.callback import ExactResume
    from exact_resume.check.verdict import check_resume
    from exact_resume.keeper import Keeper, Moment

__all__ = ["ExactResume", "Keeper", "Moment", "ResumeError", "Stopped", "check_resume"]

MODULES = {
    "ExactResume": "callback",
    "Keeper": "keeper",
    "Moment": "keeper",
    "check_resume": "check.verdict",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for, and torch with it, only then."""
    if name not in MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{MODULES[name]}"), name)
