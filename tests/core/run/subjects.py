"""What ``fit`` trains, stops and resumes: digits, and other people's modules.

All are trained in a current folder with ``digits``, a small data set, and
``own_networks.py``.
"""

from functools import partial

from lightning import Callback

from convblocks import ImageClassifier, MNISTDataModule
from convblocks.record.directory import RunDirectory
from convblocks.run import fit
from tests.any_task.tasks import HERE, TASKS, options_of
from tests.conftest import DEBUG
from tests.core.run import own_parts
from tests.core.run.test_callbacks import with_callback
from tests.core.run.test_fit import QUICK, metric_rows, weights
from tests.exact_resume.stopping import End
from tests.exact_resume.subjects import Subject, by_trainer


def by_fit(options: list[str], name: str, callbacks: list[Callback]) -> End:
    fit.main([*options, "--threads", "1", "--name", name, "--resume"], callbacks)
    run = RunDirectory(name)
    result = run.read_result()
    return weights(run) | {
        "rows": metric_rows(run),
        "final": result.final,
        "ended by": result.ended_by,
    }


def images(*options: str, within: int = 27) -> Subject:
    """Two short epochs of 20 steps, on a few digits."""
    return Subject(
        partial(by_fit, [*DEBUG, *QUICK, "--data.root", "digits", "--arch", "batchnorm", *options]),
        20,
        within,
    )


def module(options: list[str], steps: int, within: int = 0) -> Subject:
    """A user's module in ``fit``."""
    return Subject(partial(by_fit, options), steps, within or steps + 7)


def unlike(name: str) -> list[str]:
    """The options of a module whose weights or optimizers are not all there from the
    start to the end.
    """
    data = ["--data", f"{HERE}.regression.Points", "--judge", "val/rmse:min", "--epochs", "3"]
    return ["--model", f"{HERE}.unlike.{name}", *data]


def loaded(kind: str) -> list[str]:
    """The options of a training whose loader has two workers."""
    data = ["--data", f"{HERE}.loading.Loaded", f"--data.kind={kind}", "--judge", "val/rmse:min"]
    return ["--model", f"{HERE}.regression.Curve", *data, "--epochs", "3"]


PLATEAU = [
    "--lr_scheduler",
    "ReduceLROnPlateau",
    "--lr_scheduler.patience",
    "0",
    "--lr_scheduler.threshold",
    "0.9",
]
OF_STEPS = ["--lr_scheduler.monitor", "train/loss_step", "--lr_scheduler.interval", "step"]
OF_STEPS += ["--lr_scheduler.frequency", "5", "--trainer.val_check_interval", "0.25"]
EARLY = ["--data.val_size", "200", "--trainer.val_check_interval", "0.2", "--epochs", "6"]
ODD = [
    "--model",
    f"{HERE}.odd.Seldom",
    "--data",
    f"{HERE}.odd.Cut",
    "--judge",
    "val/size:min",
    "--epochs",
    "4",
]
ODD += ["--trainer.limit_train_batches", "20"]
OWN_PARTS = [
    "--data.source",
    f"{own_parts.__name__}.Noise",
    "--loss",
    f"{own_parts.__name__}.Squared",
]
# Its width is that of the data.
BARE = ["--model", f"{HERE}.bare.Bare", "--data", f"{HERE}.bare.Read", "--judge", "val/loss:min"]
BARE += ["--epochs", "3", "--optimizer", "Adam", "--optimizer.lr", "0.01"]
BARE += ["--lr_scheduler", "StepLR", "--lr_scheduler.step_size", "2"]
PERCEPTRON = partial(ImageClassifier, "mlp", lr_scheduler="onecycle")
SHIFTED = partial(MNISTDataModule, "digits", shift=2.0)

SUBJECTS = {
    "images": images(),
    "images augmented": images(
        "--lr_scheduler", "onecycle", "--data.shift", "2", "--data.rotation", "10"
    ),
    "images stopped early": images(
        *EARLY, *with_callback("EarlyStopping", monitor="val/loss", patience=5, min_delta=0.3)
    ),
    "images with own checkpoints": images(
        *with_callback("ModelCheckpoint", dirpath="own", every_n_train_steps=3, save_top_k=-1)
    ),
    "images with a moving average": images(*with_callback("EMAWeightAveraging", decay=0.9)),
    "images with a late average": images(
        *with_callback("EMAWeightAveraging", update_starting_at_step=25), within=12
    ),
    "images with a stochastic average": images(
        *with_callback("StochasticWeightAveraging", swa_lrs=0.001, swa_epoch_start=2)
    ),
    "images with accumulation": images(
        *with_callback("GradientAccumulationScheduler", scheduling="{1: 3}"), within=29
    ),
    "images with a finder": images(*with_callback("LearningRateFinder", num_training_steps=60)),
    "images with max_steps": images("--trainer.max_steps", "37"),
    "images overfitted": images(
        "--trainer.overfit_batches", "12", "--data.shift", "2", "--epochs", "3"
    ),
    "images with a plateau of epochs": images(
        *PLATEAU, "--lr_scheduler.monitor", "train/loss", "--epochs", "3"
    ),
    "images with a plateau of steps": images(*PLATEAU, *OF_STEPS, within=5),
    "images in an own network": images("--arch", "own_networks.Rows", "--network.hidden", "24"),
    "images of an own source with an own loss": images(*OWN_PARTS, "--batch_size", "16"),
    "images in a plain Trainer": Subject(
        partial(by_trainer, PERCEPTRON, SHIFTED, {"limit_train_batches": 20}), steps=20, within=27
    ),
    **{f"task {task}": module(options_of(task), TASKS[task][3]) for task in TASKS},
    "task of a bare module": module(BARE, 16),
    "workers": module(loaded("plain"), 16),
    "workers that draw": module(loaded("drawing"), 16),
    "unusual logging": module(ODD, 20, 28),
    "unusual logging, with torch's loader": module([*ODD, "--data.stateful", "false"], 20, 40),
    **{f"unlike {name}": module(unlike(name), 16) for name in ("Adapter", "Lazy", "Untrained")},
}
