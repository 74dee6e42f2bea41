"""The loops of a run that has trained: validation, test and prediction, with its
weights. Nothing of the run is written.
"""

import atexit
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.loggers.logger import DummyLogger
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.utilities.model_helpers import is_overridden

from convblocks.command_line import UNKNOWN, Parser
from convblocks.console import echo, only_json
from convblocks.errors import UsageError, UserError
from convblocks.model.restore import read_checkpoint
from convblocks.run.config import Config
from convblocks.run.directory import LOGS
from convblocks.run.friendly_errors import rank_zero_errors
from convblocks.run.metrics_log import logged_metrics
from convblocks.run.parser import full_words, read_config
from convblocks.run.quiet import quiet_lightning
from convblocks.run.trainer import make_trainer
from convblocks.text import Settings, as_json, as_shown, as_yaml
from exact_resume.agreement import end_process_group
from exact_resume.files import atomic_write

# The steps of the module and the loaders of the data, by the Trainer's method: one of each.
LOOPS = {
    "validate": (["validation_step"], ["val_dataloader"]),
    "test": (["test_step"], ["test_dataloader"]),
    "predict": (["predict_step", "forward"], ["predict_dataloader", "test_dataloader"]),
}

# Of a Trainer, unless the command line says otherwise.
ONE_PROCESS: Settings = {"devices": 1, "num_nodes": 1, "strategy": "auto"}


def measure(loop: str, arguments: Sequence[str]) -> None:
    """``convblocks validate`` and ``test``: print the metrics that the module logs.

    Raises:
        UserError: there is no such run, or it has no such loop.
    """
    options, words = _run_parser().parse_known_args(arguments)
    with only_json(options.json):
        run = Loop(loop, options.run, words)
        run()
    metrics = logged_metrics(run.trainer)
    if not run.trainer.is_global_zero:
        return
    if options.json:
        print(as_json(metrics))
        return
    echo(as_shown(run.checkpoint))
    width = max(map(len, metrics), default=0)
    for name, value in metrics.items():
        echo(f"{name:<{width}}  {value:.6g}")


def predict(arguments: Sequence[str]) -> None:
    """``convblocks predict`` without pictures: write what the Trainer's ``predict``
    returns, by ``torch.save``.

    Raises:
        UserError: there is no such run, it cannot predict, or the file exists.
    """
    parser = _run_parser()
    parser.add_argument("--output", type=Path, default=Path("predictions.pt"))
    options, words = parser.parse_known_args(arguments)
    output = options.output
    if output.exists():
        raise UsageError(f"{output} exists: give another name as --output")
    with only_json(options.json):
        run = Loop("predict", options.run, words)
        if run.trainer.world_size > 1:
            raise UsageError("predict writes one file, in one process: give --trainer.devices 1")
        with atomic_write(output) as file:
            torch.save(run(), file)
    if options.json:
        print(as_json({"output": str(output)}))
    else:
        echo(f"{as_shown(output)}: the predictions of {as_shown(run.checkpoint)}, for torch.load")


def _run_parser() -> Parser:
    parser = Parser()
    parser.add_argument("run")
    parser.add_argument("--json", action="store_true")
    return parser


class Loop:
    """A loop of the Trainer, ``validate``, ``test`` or ``predict``, over the data of a
    run, with its module; all are made as ``fit`` makes them.

    Args:
        name: One of ``LOOPS``.
        run: The run's folder, its name below ``lightning_logs``, or a checkpoint in
            it; of a run, the weights are those of ``best.ckpt`` if there is one.
        words: Options of ``fit`` that change the run's settings.

    Raises:
        UserError: there is no such run, or it lacks the step or the loader.
    """

    def __init__(self, name: str, run: str, words: Sequence[str]) -> None:
        quiet_lightning()
        self.name = name
        config_file, self.checkpoint = find_checkpoint(run)
        with rank_zero_errors():
            config = Config.parse(_with_settings(config_file, words))
            torch.set_num_threads(config.settings["threads"])
            self.data = config.make_data()
            self.module = config.make_module(self.data)
            shares_batches = getattr(self.data, "shares_batches", False)
            changed = {
                "plugins": [],
                "logger": False,
                "use_distributed_sampler": not shares_batches,
            }
            self.trainer = make_trainer(config, changed, [])
            self._find_step_and_loader()
        self.trainer.loggers = [DummyLogger()]  # some callbacks want one
        self.trainer.strategy.checkpoint_io = Weights()

    def __call__(self) -> Any:
        """Run it, and return what the Trainer's method does.

        Raises:
            UserError: the checkpoint is damaged, or of another module.
        """
        atexit.register(end_process_group)
        run = getattr(self.trainer, self.name)
        silent = {} if self.name == "predict" else {"verbose": False}
        try:
            return run(self.module, datamodule=self.data, ckpt_path=self.checkpoint, **silent)
        except RuntimeError as error:
            if "loading state_dict" not in str(error):
                raise
            name = type(self.module).__name__
            raise UserError(f"{self.checkpoint} does not hold the weights of {name}") from error

    def _find_step_and_loader(self) -> None:
        """Find both, or take the loader of the test for predictions."""
        steps, loaders = LOOPS[self.name]
        data = self.data or self.module
        _first(steps, self.module)
        loader = _first(loaders, data)
        if loader != loaders[0]:
            echo(f"{type(data).__name__} has no {loaders[0]}: {loader} takes its place")
            _predict_test_data(data)


class Weights(TorchCheckpointIO):
    """Reads the weights of a checkpoint, not the state of callbacks and loops, some of
    which this Trainer does not have.
    """

    def load_checkpoint(self, path: str | Path, *_: Any, **__: Any) -> dict[str, Any]:
        checkpoint = read_checkpoint(Path(path))
        for name in ("callbacks", "loops"):
            checkpoint.pop(name, None)
        return checkpoint


def find_checkpoint(run: str) -> tuple[Path, Path]:
    """The config of a run and its checkpoint: the best one, else the last, or the one
    that is named.

    Raises:
        UserError: there is none.
    """
    for path in (Path(run), LOGS / run):
        folder, checkpoints = path, [path / f"checkpoints/{name}.ckpt" for name in ("best", "last")]
        if path.is_file():
            folder, checkpoints = path.absolute().parent.parent, [path]
        config = folder / "config.yaml"
        for checkpoint in checkpoints:
            if config.is_file() and checkpoint.is_file():
                return config, checkpoint
    raise UserError(
        f"{run} is neither a run with a checkpoint nor a checkpoint in one: give the folder of a "
        f"run, its name below {LOGS}/, or its checkpoints/last.ckpt"
    )


def _with_settings(config: Path, words: Sequence[str]) -> list[str]:
    """A command line of ``fit`` with the settings of a run, in one process; other data
    come with their own.
    """
    if words and not words[0].startswith("-"):
        raise UsageError(f"{UNKNOWN}{words[0]}")
    settings = read_config(str(config))
    if "--data" in [option for option, *_ in full_words(words)]:
        settings.pop("data", None)
    configs = (settings, {"trainer": ONE_PROCESS})
    return [*(f"--config={as_yaml(config)}" for config in configs), *words]


def _first(methods: Sequence[str], part: LightningModule | LightningDataModule) -> str:
    """The first of the methods that a module or data have.

    Raises:
        UserError: they have none.
    """
    for method in methods:
        if is_overridden(method, part):
            return method
    raise UserError(f"{type(part).__name__} has no {' or '.join(methods)}")


def _predict_test_data(data: LightningModule | LightningDataModule) -> None:
    def predict_dataloader() -> Any:
        # a module has no further setup: it could undo the weights
        if isinstance(data, LightningDataModule):
            data.setup("test")
        return data.test_dataloader()

    data.predict_dataloader = predict_dataloader  # type: ignore[method-assign]
