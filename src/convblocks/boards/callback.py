"""TensorBoard's tags, final values and figures, and further loggers whose curves a resumed run continues."""

from typing import Any

from convblocks.boards import loggers
from convblocks.boards.tensorboard import RunTensorBoardLogger, write_evaluation
from convblocks.run.callbacks import RunCallback
from convblocks.run.directory import DEAD, TRAINING
from convblocks.run.final_evaluation import classification_of
from convblocks.run.result import RunResult
from convblocks.run.run import Run
from convblocks.text import flatten


def make(run: Run) -> "Boards":
    """For every run; on a resume the loggers that a user adds continue their own runs."""
    if run.config.resume:
        given = run.trainer_arguments["logger"]
        run.trainer_arguments["logger"] = loggers.with_runs(given, run.directory.loggers)
    return Boards()


class Boards(RunCallback):
    """Starts a run's loggers, and shows its result in TensorBoard."""

    def on_start(self, run: Run, checkpoint: dict[str, Any] | None) -> None:
        """Start the loggers, TensorBoard's from the first step that is logged again."""
        directory = run.directory
        added = [logger for logger in run.trainer.loggers if logger is not run.board]
        if run.board:
            run.board = RunTensorBoardLogger(directory, run.first_step, tests_once=run.evaluation_split != "test")
            run.trainer.loggers = [run.board, *added]
        if run.is_rank_zero and added and not directory.loggers.is_file():
            loggers.begin(added, directory.loggers, flatten(run.settings))

    def on_result(self, run: Run, result: RunResult) -> RunResult:
        """The same result; the board gets its values and, of image classifiers, the figures."""
        if isinstance(run.board, RunTensorBoardLogger):
            classification, step = classification_of(run), int(result.epochs[-1]["step"])
            hidden = (DEAD, TRAINING, "val/") if classification else ()
            final = {name: value for name, value in result.final.items() if not name.startswith(hidden)}
            run.board.log_results(run.settings, final, step)
            if classification and (evaluation := classification.evaluation):
                trained, images = classification.trained, classification.data.test.images
                write_evaluation(run.board.experiment, trained, images, evaluation, step)
        return result
