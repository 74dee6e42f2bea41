"""TensorBoard's tags, final values and figures, and further loggers whose curves a resumed run continues."""

from typing import Any

from convblocks.boards import loggers
from convblocks.boards.tensorboard import RunTensorBoardLogger, write_evaluation
from convblocks.run.callbacks import RunCallback
from convblocks.run.directory import DEAD
from convblocks.run.image_run import ImageRun
from convblocks.run.result import RunResult
from convblocks.run.run import Run
from convblocks.text import flatten


def make(run: Run) -> "Boards":
    """For every run; on a resume the loggers that a user adds continue their own runs."""
    if run.config.resume:
        ids = loggers.read_runs(run.directory.loggers)
        run.trainer_arguments["logger"] = loggers.with_runs(run.trainer_arguments["logger"], ids)
    run.make_board = lambda first_step: RunTensorBoardLogger(run.directory, first_step, run.tests_once)
    return Boards()


class Boards(RunCallback):
    """Starts a run's loggers, and shows its result in TensorBoard."""

    def on_start(self, run: Run, checkpoint: dict[str, Any] | None) -> None:
        """Start the loggers; those that a user adds continue from the first step that is logged again."""
        directory = run.directory
        added = [logger for logger in run.trainer.loggers if logger is not run.board]
        if run.is_rank_zero and added and directory.loggers.is_file():
            loggers.continue_runs(added, flatten(run.settings), run.first_step)
        elif run.is_rank_zero and added:
            loggers.begin(added, directory.loggers, flatten(run.settings))

    def on_result(self, run: Run, result: RunResult) -> RunResult:
        """The same result; the board gets its values and, of image classifiers, the figures."""
        if isinstance(run.board, RunTensorBoardLogger):
            of_images, step = isinstance(run, ImageRun), int(result.epochs[-1]["step"])
            final = {name: value for name, value in result.final.items() if not (of_images and name.startswith(DEAD))}
            run.board.log_results(run.settings, final, step)
            if isinstance(run, ImageRun) and run.evaluation:
                images = run.data.test.images
                write_evaluation(run.board.experiment, run.directory, run.trained, images, run.evaluation, step)
        return result
