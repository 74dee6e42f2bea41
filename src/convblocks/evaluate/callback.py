"""The final network's mistakes, in a file and in the result, and the commands that show more."""

from collections.abc import Sequence
from dataclasses import replace
from shlex import quote

import torch

from convblocks import wings
from convblocks.console import CommandLine, command_words
from convblocks.files import write
from convblocks.model.evaluation import Evaluation
from convblocks.run.callbacks import RunCallback
from convblocks.run.final_evaluation import classification_of
from convblocks.run.result import RunResult
from convblocks.run.run import Run
from convblocks.text import as_csv, as_shown, flatten

# A test image that the final network gets wrong: its number, and the numbers of its class and of the predicted one.
MISTAKE = ("image", "label", "predicted")


def make(run: Run) -> "Mistakes | None":
    """For runs of image classifiers."""
    return Mistakes() if classification_of(run) else None


class Mistakes(RunCallback):
    """Writes ``mistakes.csv``, and prints the commands that show more of the run."""

    def on_result(self, run: Run, result: RunResult) -> RunResult:
        """The result with the fact ``mistakes``: the numbers of the images that the final network gets wrong."""
        classification = classification_of(run)
        assert classification is not None
        run.directory.mistakes.unlink(missing_ok=True)
        if classification.evaluation is None:
            return result
        rows = mistakes_of(classification.evaluation)
        write(run.directory.mistakes, as_csv(rows, MISTAKE))
        return replace(result, facts=result.facts | {"mistakes": [row["image"] for row in rows]})

    def last_lines(self, run: Run, result: RunResult) -> Sequence[str | CommandLine]:
        """The number of mistakes, and the commands that are there for a checkpoint, unless its weights are useless."""
        classification, wrong = classification_of(run), []
        if classification and "mistakes" in result.facts:
            images = len(classification.data.test.labels)
            wrong = [f"wrong: {len(result.facts['mistakes']):,} of {images:,} test images"]
        if not run.resumable or run.divergence.step is not None:
            return wrong
        directory, given = run.directory, flatten(run.settings)
        of_best = run.keeps_best and directory.best_checkpoint.is_file()
        checkpoint = as_shown(directory.best_checkpoint if of_best else directory.last_checkpoint)
        own = ["--arch", run.arch] if "." in run.arch else []
        data = [f"--{name}={given[name]}" for name in ("data.root", "data.source") if given.get(name)]
        lines = {"evaluate": CommandLine("look closer   ", [checkpoint, *own, *data])}
        lines["demo"] = CommandLine("try it        ", [checkpoint, *own])
        commands = [
            CommandLine(line.label, [*command_words(name), *map(quote, line.words)])
            for name, line in lines.items()
            if name in wings.commands()
        ]
        return [*wrong, *commands]


def mistakes_of(evaluation: Evaluation) -> list[dict[str, int]]:
    """The rows of ``mistakes.csv``."""
    targets, predicted = evaluation.targets, evaluation.predicted
    wrong = (predicted != targets).nonzero().flatten()
    rows = torch.stack([wrong, targets[wrong], predicted[wrong]], dim=1).tolist()
    return [dict(zip(MISTAKE, row, strict=True)) for row in rows]
