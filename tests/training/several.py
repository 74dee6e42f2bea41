"""Run by torchrun in every process of test_several: trains a list of command lines, one after another."""

import json
import os
import signal
import sys
from collections.abc import Callable
from typing import TypedDict

import pytest
from lightning import LightningModule

from convblocks.errors import Stopped
from convblocks.model.classifier import DigitClassifier
from convblocks.training import fit, signals


class Run(TypedDict):
    """A command line of fit.py, and the step within which the last process receives SIGTERM, or 0."""

    arguments: list[str]
    stopped_in: int


def fit_all(runs: list[Run]) -> None:
    for run in runs:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(DigitClassifier, "on_before_zero_grad", sends_sigterm(run["stopped_in"]), raising=False)
            try:
                fit.main(run["arguments"])
                assert not run["stopped_in"], "it was not stopped"
            except Stopped:
                assert run["stopped_in"]
        signals.forget()


def sends_sigterm(step: int) -> Callable[..., None]:
    """A hook of the classifier, within a step."""

    def send(module: LightningModule, *_: object) -> None:
        is_last = module.trainer.global_rank == module.trainer.world_size - 1
        if is_last and module.trainer.global_step + 1 == step:
            os.kill(os.getpid(), signal.SIGTERM)

    return send


if __name__ == "__main__":
    fit_all(json.loads(sys.argv[1]))
