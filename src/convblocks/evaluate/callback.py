"""The final network's mistakes, in a file and in the result, and the commands that show more."""

from collections.abc import Sequence
from typing import Any

import torch

from convblocks import wings
from convblocks.console import command_text
from convblocks.errors import NotFiniteError
from convblocks.model.restore import Evaluation, restore_network
from convblocks.record.result import RunResult
from convblocks.run.callbacks import RunCallback
from convblocks.run.parts import Parts
from convblocks.run.run import Run
from convblocks.text import as_csv, as_shown, flatten
from convblocks.working import working
from exact_resume.files import write

# A test image that the final network gets wrong: its number, and the numbers of its
# class and of the predicted one.
MISTAKE = ("image", "label", "predicted")


def make(parts: Parts) -> "Mistakes | None":
    """The callback of runs of image classifiers; None for others."""
    return Mistakes() if parts.is_classification else None


class Mistakes(RunCallback):
    """Writes ``mistakes.csv``, and prints the commands that show more of the run."""

    def on_result(self, run: Run, result: RunResult) -> RunResult:
        """The result with the fact ``mistakes``: the numbers of the images that the
        final network gets wrong.
        """
        run.directory.mistakes.unlink(missing_ok=True)
        data: Any = run.data
        module = run.module
        trained = restore_network(run.directory.path, module.hparams, module.state_dict())
        try:
            with working(f"looking for mistakes in {len(data.test):,} test images"):
                evaluation = trained.evaluate(data.test)
        except NotFiniteError:
            return result
        rows = mistakes_of(evaluation)
        write(run.directory.mistakes, as_csv(rows, MISTAKE))
        return result.with_facts(mistakes=[row["image"] for row in rows])

    def last_lines(self, run: Run, result: RunResult) -> Sequence[str]:
        """The number of mistakes and, unless the weights are useless, commands that
        show more of the checkpoint.
        """
        lines = []
        if "mistakes" in result.facts:
            mistakes = len(result.facts["mistakes"])
            data: Any = run.data
            lines.append(f"wrong: {mistakes:,} of {len(data.test):,} test images")
        if run.divergence.step is not None:
            return lines
        directory = run.directory
        checkpoint = directory.last_checkpoint
        if run.best and directory.best_checkpoint.is_file():
            checkpoint = directory.best_checkpoint
        arguments = [as_shown(checkpoint)]
        if "." in run.arch:
            arguments += ["--arch", run.arch]
        settings = flatten(run.settings)
        data = [
            f"--{name}={settings[name]}"
            for name in ("data.root", "data.source")
            if settings.get(name)
        ]
        for name, label, options in [
            ("evaluate", "look closer   ", data),
            ("demo", "try it        ", []),
        ]:
            if name in wings.commands():
                lines.append(label + command_text(name, *arguments, *options))
        return lines


def mistakes_of(evaluation: Evaluation) -> list[dict[str, int]]:
    """The rows of ``mistakes.csv``."""
    targets, predicted = evaluation.targets, evaluation.predicted
    wrong = (predicted != targets).nonzero().flatten()
    rows = torch.stack([wrong, targets[wrong], predicted[wrong]], dim=1).tolist()
    return [dict(zip(MISTAKE, row, strict=True)) for row in rows]
