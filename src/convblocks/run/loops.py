"""``validate``, ``test`` and ``predict`` of the Trainer, over a run that has trained.

Nothing of the run is written.
"""

import atexit
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.loggers.logger import DummyLogger
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.utilities.model_helpers import is_overridden

from convblocks.command_line import UNKNOWN, Parser
from convblocks.console import echo, only_json
from convblocks.errors import UsageError, UserError
from convblocks.model.restore import read_checkpoint
from convblocks.run.config import Config
from convblocks.run.directory import LOGS
from convblocks.run.metrics_log import logged_metrics
from convblocks.run.parser import full_words, read_config
from convblocks.run.quiet import quiet_lightning
from convblocks.run.trainer import make_trainer
from convblocks.text import Settings, as_json, as_shown, as_yaml
from exact_resume.agreement import end_process_group
from exact_resume.files import atomic_write

# What each needs: a step of the module, and a loader.
NEEDED = {
    "validate": ("validation_step", "val_dataloader"),
    "test": ("test_step", "test_dataloader"),
    "predict": ("predict_step or forward", "predict_dataloader or test_dataloader"),
}

# Unless the command line says otherwise.
ONE_PROCESS = ("--trainer.devices=1", "--trainer.num_nodes=1", "--trainer.strategy=auto")


def measure(loop: str, arguments: Sequence[str]) -> None:
    """Validate or test a run, and print the metrics that its module logs.

    Raises:
        UserError: there is no such run, or it has no such loop.
    """
    options, words = _run_parser().parse_known_args(arguments)
    with only_json(options.json):
        trainer, _ = run_loop(loop, options.run, words)
    if trainer.is_global_zero:
        _print(logged_metrics(trainer), options.json)


def predict(arguments: Sequence[str]) -> None:
    """Write what the Trainer's ``predict`` returns for a run, by ``torch.save``.

    Raises:
        UserError: there is no such run, it cannot predict, or the file exists.
    """
    parser = _run_parser()
    parser.add_argument("--output", type=Path, default=Path("predictions.pt"))
    options, words = parser.parse_known_args(arguments)
    output = options.output
    if output.exists() or not output.parent.is_dir():
        raise UsageError(f"--output {output} must be a new file in a folder that exists")
    with only_json(options.json):
        _, predictions = run_loop("predict", options.run, words)
    with atomic_write(output) as file:
        torch.save(predictions, file)
    _print({"predictions": as_shown(output)}, options.json)


def _run_parser() -> Parser:
    parser = Parser()
    parser.add_argument("run")
    parser.add_argument("--json", action="store_true")
    return parser


def _print(values: Settings, is_json: bool) -> None:
    """Print values by name, as a table or as JSON."""
    if is_json:
        print(as_json(values))
        return
    width = max(map(len, values), default=0)
    for name, value in values.items():
        echo(f"{name:<{width}}  {value}")


def run_loop(loop: str, run: str, words: Sequence[str]) -> tuple[Trainer, Any]:
    """The Trainer of a run after a loop, and what its method returned.

    Data, module and Trainer are made as ``fit`` makes them, but for one process.

    Args:
        loop: One of ``NEEDED``.
        run: The run, as for ``find_checkpoint``.
        words: Options of ``fit`` that change its settings.

    Raises:
        UserError: there is no such run, it lacks what is needed, or its checkpoint is
            damaged or of another module.
    """
    quiet_lightning()
    atexit.register(end_process_group)
    config_file, checkpoint = find_checkpoint(run)
    config = Config.parse(_with_settings(config_file, words))
    torch.set_num_threads(config.settings["threads"])
    data = config.make_data()
    module = config.make_module(data)
    _refuse_what_lacks(loop, module, data)
    shares_batches = getattr(data, "shares_batches", False)
    changed = {"plugins": [], "logger": False, "use_distributed_sampler": not shares_batches}
    trainer = make_trainer(config, changed, [])
    if loop == "predict" and trainer.world_size > 1:
        raise UsageError("predict takes one process: give --trainer.devices 1")
    trainer.loggers = [DummyLogger()]  # some callbacks want one
    trainer.strategy.checkpoint_io = Weights()
    if trainer.is_global_zero:
        echo(as_shown(checkpoint))
    options = {} if loop == "predict" else {"verbose": False}
    try:
        returned = getattr(trainer, loop)(
            module, datamodule=data, ckpt_path=checkpoint, weights_only=True, **options
        )
    except RuntimeError as error:
        if "loading state_dict" not in str(error):
            raise
        raise UserError(
            f"{checkpoint} does not hold the weights of {type(module).__name__}"
        ) from error
    return trainer, returned


def find_checkpoint(run: str) -> tuple[Path, Path]:
    """The config of a run and a checkpoint: the best one, if it is kept, else the last.

    Args:
        run: The run's folder, its name below ``lightning_logs``, or a checkpoint in it,
            which is then taken.

    Raises:
        UserError: there is none.
    """
    for path in (Path(run), LOGS / run):
        for checkpoint in (path, path / "checkpoints/best.ckpt", path / "checkpoints/last.ckpt"):
            config = checkpoint.absolute().parent.parent / "config.yaml"
            if checkpoint.is_file() and config.is_file():
                return config, checkpoint
    raise UserError(
        f"{run} is neither a run with a checkpoint nor a checkpoint in one: give the folder of a "
        f"run, its name below {LOGS}/, or its checkpoints/last.ckpt"
    )


def _with_settings(config: Path, words: Sequence[str]) -> list[str]:
    """A command line of ``fit``, with the settings of a run; other data have none of
    its arguments.
    """
    if words and not words[0].startswith("-"):
        raise UsageError(f"{UNKNOWN}{words[0]}")
    settings = read_config(str(config))
    if "--data" in [option for option, *_ in full_words(words)]:
        settings.pop("data", None)
    return ["--config", as_yaml(settings), *ONE_PROCESS, *words]


def _refuse_what_lacks(
    loop: str, module: LightningModule, data: LightningDataModule | None
) -> None:
    """Refuse a module without the step, or data without the loader; those of the test
    may be predicted.
    """
    owner = data or module
    for part, names in zip((module, owner), NEEDED[loop], strict=True):
        if not any(is_overridden(name, part) for name in names.split(" or ")):
            raise UserError(f"{type(part).__name__} has no {names}")
    if loop != "predict" or is_overridden("predict_dataloader", owner):
        return

    def predict_dataloader() -> Any:
        if data:  # a module has no further setup: it could undo the weights
            data.setup("test")
        return owner.test_dataloader()

    echo(f"{type(owner).__name__} has no predict_dataloader: its test_dataloader is taken")
    owner.predict_dataloader = predict_dataloader  # type: ignore[method-assign]


class Weights(TorchCheckpointIO):
    """Reads a checkpoint without the states of callbacks and loops, some of which only
    ``fit`` has.
    """

    def load_checkpoint(self, path: str | Path, *_: Any, **__: Any) -> dict[str, Any]:
        checkpoint = read_checkpoint(Path(path))
        return checkpoint | {"callbacks": None, "loops": None}
