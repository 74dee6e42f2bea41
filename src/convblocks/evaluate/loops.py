"""``validate``, ``test`` and ``predict`` of the Trainer, over a run that has trained.

Nothing of the run is written.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities.model_helpers import is_overridden

from convblocks.command_line import UNKNOWN, Parser, options_of
from convblocks.console import echo, only_json
from convblocks.errors import UsageError, UserError
from convblocks.model.restore import read_checkpoint
from convblocks.record.directory import LOGS
from convblocks.record.own_code import changed, code_of, shown
from convblocks.record.provenance import latest_code, read_origin
from convblocks.run.metrics_log import logged_metrics
from convblocks.run.parts import make_parts
from convblocks.run.quiet import quiet_lightning
from convblocks.run.trainer import make_trainer
from convblocks.settings.config import Config
from convblocks.settings.options import no_run, refuse_misspelt
from convblocks.settings.words import full_words, read_config
from convblocks.text import Settings, as_json, as_shown, as_yaml
from exact_resume.files import atomic_write

# The step of the module and the loader that each command needs.
NEEDED = {
    "validate": ("validation_step", "val_dataloader"),
    "test": ("test_step", "test_dataloader"),
    "predict": ("predict_step or forward", "predict_dataloader or test_dataloader"),
}

# Stands in names of weights behind the name of a part that torch.compile has wrapped.
COMPILED = "_orig_mod."

# Options of the commands, unless the command line has them.
ONE_PROCESS = ("--trainer.devices=1", "--trainer.num_nodes=1", "--trainer.strategy=auto")


def command(loop: str, arguments: Sequence[str]) -> None:
    """A command line of one of ``NEEDED``: print the metrics that the module logs, or
    write what the Trainer's ``predict`` returns, by ``torch.save``.

    Raises:
        UserError: there is no such run, it has no such loop, or there is such a file.
    """
    parser = Parser()
    parser.add_argument("run")
    parser.add_argument("--json", action="store_true")
    parser.add_weights_only()
    if loop == "predict":
        parser.add_argument("--output", type=_new_file, default="predictions.pt")
    options, words = parser.parse_known_args(arguments)
    if words and not words[0].startswith("-"):
        parser.error(f"{UNKNOWN}{words[0]}")
    refuse_misspelt(full_words(words), options_of(parser))
    output = getattr(options, "output", None)
    with only_json(options.json):
        trainer, returned = run_loop(loop, options.run, words, options.weights_only)
    values: Settings = logged_metrics(trainer)
    if output:
        with atomic_write(output) as file:
            torch.save(returned, file)
        values = {"predictions": as_shown(output)}
    if trainer.is_global_zero:
        print(as_json(values) if options.json else as_yaml(values).rstrip())


def _new_file(text: str) -> Path:
    output = Path(text)
    if output.exists() or not output.parent.is_dir():
        raise UsageError(f"--output {output} must be a new file in a folder that exists")
    if output.suffix != ".pt":
        raise UsageError(f"--output {output} must end in .pt: torch.save writes it")
    return output


def run_loop(loop: str, run: str, words: Sequence[str], weights_only: bool) -> tuple[Trainer, Any]:
    """The Trainer of a run after a loop, and what its method returned.

    Data, module and Trainer are made as ``fit`` makes them, but for one process.

    Args:
        loop: One of ``NEEDED``.
        run: The run, as for ``find_checkpoint``.
        words: Options of ``fit`` that change its settings.
        weights_only: As for ``read_checkpoint``.

    Raises:
        UserError: there is no such run, it lacks what is needed, or its checkpoint is
            damaged or of another module.
    """
    quiet_lightning()
    config_file, checkpoint = find_checkpoint(run)
    # Without the states of callbacks and loops: only fit has them all.
    weights = read_checkpoint(checkpoint, weights_only) | {"callbacks": None, "loops": None}
    settings = read_config(str(config_file))
    if "--data" in [option for option, *_ in full_words(words)]:
        settings.pop("data", None)  # other data have none of its arguments
    config = Config.parse(["--config", as_yaml(settings), *ONE_PROCESS, *words])
    parts = make_parts(config)
    data, module = parts.data, parts.module
    for part, names in zip((module, data or module), NEEDED[loop], strict=True):
        if not any(is_overridden(name, part) for name in names.split(" or ")):
            raise UserError(f"{type(part).__name__} has no {names}")
    # Some callbacks want a logger; this writes nothing.
    logger = "lightning.pytorch.loggers.logger.DummyLogger"
    trainer = make_trainer(parts, {"plugins": [], "logger": logger}, [])
    trainer.strategy.load_checkpoint = lambda *_, **__: _as_compiled(  # type: ignore[method-assign]
        weights, module
    )
    origin = read_origin(config_file.with_name("provenance.json"))
    for name in changed(latest_code(origin), code_of([data, *module.modules()], config.settings)):
        echo(f"{shown(name)} has changed since the run was trained")
    options = {"verbose": False}
    if loop == "predict":
        options = {}
        _make_predict_loader(trainer, data or module)
    echo(as_shown(checkpoint))
    method = getattr(trainer, loop)
    try:
        return trainer, method(module, datamodule=data, ckpt_path=checkpoint, **options)
    except RuntimeError as error:
        if "loading state_dict" not in str(error):
            raise
        raise UserError(
            f"{checkpoint} does not hold the weights of {type(module).__name__}"
        ) from error


def _as_compiled(weights: Settings, module: LightningModule) -> Settings:
    """Weights by the names that a module has for them: those of what it has compiled have one
    more part, and it may compile only to train.
    """
    names = {name.replace(COMPILED, ""): name for name in module.state_dict()}
    state = {
        names.get(name.replace(COMPILED, ""), name): value
        for name, value in weights["state_dict"].items()
    }
    return weights | {"state_dict": state}


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
    raise no_run(run)


def _make_predict_loader(trainer: Trainer, owner: Any) -> None:
    """Make the loader of a module or data for predictions, else that of the test.

    Not in Lightning's hook, which does not take ``DataLoader(dataset, 32)``.
    """
    if trainer.world_size > 1:
        raise UsageError("predict takes one process: give --trainer.devices 1")
    stage = "predict"
    if not is_overridden("predict_dataloader", owner):
        stage = "test"
        name = type(owner).__name__
        echo(f"{name} has no predict_dataloader: predict_step gets batches of its test_dataloader")
    owner.trainer = trainer
    owner.prepare_data()
    owner.setup(stage)
    loader = getattr(owner, f"{stage}_dataloader")()
    owner.predict_dataloader = lambda: loader
