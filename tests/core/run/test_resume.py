"""The guarantee: a run that is stopped or killed at any step, and resumed, ends with the same bits.

The table of subjects says what is trained; each is stopped by SIGTERM within an epoch, where it saves, and killed by
SIGKILL in a later one than the first, after which it resumes from the end of an epoch.
"""

import itertools
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from lightning import Callback, LightningDataModule, LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import BatchSizeFinder, LearningRateFinder
from lightning.pytorch.trainer.connectors.logger_connector.logger_connector import _LoggerConnector

from convblocks import ExactResume, ImageClassifier, MNISTDataModule, wings
from convblocks.data.images import ImageSets
from convblocks.errors import Stopped, UserError
from convblocks.run import fit
from convblocks.run.directory import RunDirectory
from tests.any_task import changing, kinds
from tests.any_task.kinds import LOADERS, Kind, Plain
from tests.any_task.stop import Signal, forget_signal
from tests.any_task.tasks import HERE, TASKS, options_of
from tests.conftest import DEBUG, OWN_NETWORKS, REPOSITORY, write_digits
from tests.core.run.several import COMMON, Run, fit_on, on
from tests.core.run.test_fit import QUICK as NO_BOARD
from tests.core.run.test_fit import curves, metric_rows, weights
from tests.scripts import run_script, start_script

pytestmark = [
    pytest.mark.filterwarnings("ignore:'set_vital' is deprecated"),  # by torchdata
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty"),
    pytest.mark.filterwarnings("ignore:torch.ao.quantization is deprecated"),
    pytest.mark.filterwarnings("ignore:Please use quant_min and quant_max"),
    pytest.mark.filterwarnings("ignore:.*this fit will run with no optimizer"),
]
SLOW, NIGHTLY = pytest.mark.slow, pytest.mark.nightly

# With what a training ends: its weights and metrics.
End = dict[str, Any]


class Subject(NamedTuple):
    """What is trained: by a name and further callbacks, from its checkpoint if it has one.

    ``steps`` are those of an epoch, and ``within`` the batch after which SIGTERM comes.
    """

    train: Callable[[str, list[Callback]], End]
    steps: int
    within: int
    needs_compat: bool = False


def by_fit(options: list[str], name: str, callbacks: list[Callback]) -> End:
    fit.main([*options, "--name", name, "--resume"], callbacks)
    run = RunDirectory(name)
    result = run.read_result()
    return weights(run) | {"rows": metric_rows(run), "final": result.final, "ended by": result.ended_by}


def by_trainer(
    model: Callable[[], LightningModule],
    data: Callable[[], LightningDataModule],
    settings: dict[str, Any],
    name: str,
    callbacks: list[Callback],
    finder: Callable[[], Callback] | None = None,
) -> End:
    """A plain Trainer, for three epochs, with ExactResume."""
    seed_everything(0, verbose=False)
    resume, finders = ExactResume(Path(name) / "state.pt"), [finder()] if finder else []
    quiet: dict[str, Any] = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    trainer = Trainer(max_epochs=3, callbacks=[*callbacks, *finders, resume], accelerator="cpu", **(quiet | settings))
    trainer.fit(model(), datamodule=data(), ckpt_path=resume.ckpt_path, weights_only=True)
    return trainer.lightning_module.state_dict() | trainer.callback_metrics


def images(*options: str, within: int = 27) -> Subject:
    """Two short epochs of 20 steps, on a few digits."""
    small = [*DEBUG, *NO_BOARD, "--threads", "1", "--data.root", "digits", "--arch", "batchnorm"]
    return Subject(partial(by_fit, [*small, *options]), 20, within)


def own(options: list[str], steps: int, within: int = 0, **more: Any) -> Subject:
    """A module of one's own in ``fit``."""
    return Subject(partial(by_fit, [*options, "--threads", "1"]), steps, within or steps + 7, **more)


def plain(
    model: Callable[[], LightningModule], loader: str = "", within: int = kinds.STEPS + 3, **settings: Any
) -> Subject:
    """A module of one's own in a plain Trainer, with a loader of a kind."""
    return Subject(partial(by_trainer, model, partial(Kind, loader), settings), kinds.STEPS, within, needs_compat=True)


def with_callback(name: str, *arguments: str) -> list[str]:
    option = "--trainer.callbacks"
    return [f"{option}={name}", *(f"{option}.{argument}" for argument in arguments)]


def options_of_unlike(module: str) -> list[str]:
    data = ["--data", f"{HERE}.regression.Points", "--judge", "val/rmse:min", "--epochs", "3"]
    return ["--model", f"{HERE}.unlike.{module}", *data]


PLATEAU = ["--lr_scheduler", "ReduceLROnPlateau", "--lr_scheduler.patience", "0", "--lr_scheduler.threshold", "0.9"]
A_STEP = ["--lr_scheduler.monitor", "train/loss_step", "--lr_scheduler.interval", "step"]
A_STEP += ["--lr_scheduler.frequency", "5"]
EARLY = ["--data.val_size", "200", "--trainer.val_check_interval", "0.2", "--epochs", "6"]
ODD = ["--model", f"{HERE}.odd.Seldom", "--data", f"{HERE}.odd.Cut", "--judge", "val/size:min", "--epochs", "4"]
ODD += ["--trainer.limit_train_batches", "20"]

SUBJECTS = {
    "images": images(),
    "images augmented": images("--lr_scheduler", "onecycle", "--data.shift", "2", "--data.rotation", "10"),
    "images stopped early": images(
        *EARLY, *with_callback("EarlyStopping", "monitor=val/loss", "patience=5", "min_delta=0.3")
    ),
    "images with own checkpoints": images(
        *with_callback("ModelCheckpoint", "dirpath=own", "every_n_train_steps=3", "save_top_k=-1")
    ),
    "images with a moving average": images(*with_callback("EMAWeightAveraging", "decay=0.9")),
    "images with a late average": images(*with_callback("EMAWeightAveraging", "update_starting_at_step=25"), within=12),
    "images with a stochastic average": images(
        *with_callback("StochasticWeightAveraging", "swa_lrs=0.001", "swa_epoch_start=2")
    ),
    "images with accumulation": images(*with_callback("GradientAccumulationScheduler", "scheduling={1: 3}"), within=29),
    "images with a finder": images(*with_callback("LearningRateFinder", "num_training_steps=60")),
    "images with max_steps": images("--trainer.max_steps", "37"),
    "images overfitted": images("--trainer.overfit_batches", "12", "--data.shift", "2", "--epochs", "3"),
    "images in bfloat16": images("--trainer.precision", "bf16-true"),
    "images with a schedule of steps": images(
        "--lr_scheduler", "StepLR", "--lr_scheduler.step_size", "7", "--lr_scheduler.interval", "step"
    ),
    "images with a plateau of epochs": images(*PLATEAU, "--lr_scheduler.monitor", "train/loss", "--epochs", "3"),
    "images with a plateau of steps": images(*PLATEAU, *A_STEP, "--trainer.val_check_interval", "0.25", within=5),
    "images in an own network": images("--arch", "own_networks.Rows", "--network.hidden", "24"),
    "images in a plain Trainer": Subject(
        partial(
            by_trainer,
            partial(ImageClassifier, "mlp", lr_scheduler="onecycle"),
            partial(MNISTDataModule, "digits", shift=2.0),
            {"limit_train_batches": 20},
        ),
        *(20, 27),
    ),
    **{f"task {task}": own(options_of(task), TASKS[task][3]) for task in TASKS},
    "unusual logging": own(ODD, 20, 28),
    "unusual logging, with torch's loader": own([*ODD, "--data.stateful", "false"], 20, 40, needs_compat=True),
    **{
        f"unlike {name}": own(options_of_unlike(name), 16)
        for name in ("Adapter", "RestoredAdapter", "Lazy", "Untrained")
    },
    **{
        f"module {model.__name__}": plain(model)
        for model in (
            *(kinds.MovingMean, kinds.Scored, kinds.Caching, kinds.Histories, kinds.Sharing, kinds.Quantized),
            *(changing.Weakening, changing.Scheduled, changing.Remembering, changing.Replaying, changing.LoggingList),
        )
    },
    "module ChangedInHooks": plain(changing.ChangedInHooks, val_check_interval=3),
    "module ChangedInHooks before its evaluation": plain(
        changing.ChangedInHooks, "", kinds.STEPS + 1, val_check_interval=3
    ),
    **{f"loader {kind}": plain(Plain, kind) for kind in LOADERS},
    **{
        f"finder of {name}": Subject(partial(by_trainer, Plain, Kind, {}, finder=finder), kinds.STEPS, within, True)
        for name, finder, within in (
            ("rates", partial(LearningRateFinder, num_training_steps=20, early_stop_threshold=None), kinds.STEPS + 3),
            ("sizes", partial(BatchSizeFinder, max_trials=2), 3),
        )
    },
}

# On two processes; 40 or 50 steps of an epoch.
SHORT = [*COMMON, "--data.root", "digits", "--epochs", "2", "--trainer.log_every_n_steps", "5"]
SHORT += ["--trainer.limit_train_batches", "40", "--trainer.limit_val_batches", "2", "--arch", "mlp"]
OWN = ["--model", f"{HERE}.shapes.Segmenter", "--data", f"{HERE}.shapes.Shared", "--judge", "val/iou:max"]
OWN += [*COMMON, "--epochs", "2", "--trainer.use_distributed_sampler", "false"]
ON_TWO = {"images": SHORT, "own module": OWN}

QUICK: tuple[str, ...] = ("task regression", "task shapes", "unusual", "unlike", "module")
QUICK += tuple(f"loader {kind}" for kind in ("stream", "seen", "own generator", "sampler", "batch sampler", "workers"))
ALIKE = ("finder", "max_steps", "overfitted", "bfloat16", "schedule of steps")  # as others of the images


def marks_of(name: str) -> list[pytest.MarkDecorator]:
    if name.startswith(QUICK) and name != "loader own generator in workers":
        return []
    return [NIGHTLY if name.startswith("images") and name.endswith(ALIKE) else SLOW]


CASES = {
    (name, number, batch): marks_of(name)
    for name, (_, steps, within, _) in SUBJECTS.items()
    for number, batch in ((signal.SIGTERM, within), (signal.SIGKILL, max(within, steps + 5)))
}
# At an epoch's end, at an evaluation, at the begin of a run; what others tell too, nightly.
FURTHER = [("images with a plateau of epochs", 20), ("images augmented", 1), ("images augmented", 20)]
FURTHER += [(name, 2 * kinds.STEPS) for name in ("module ChangedInHooks", "module Sharing", "loader counted")]
OTHERS = [(name, batch) for name in SUBJECTS if name.startswith("images") for batch in (5, 19, 20, 21)]
for marks, more in ([SLOW], FURTHER), ([NIGHTLY], OTHERS):
    CASES |= {
        (name, signal.SIGTERM, batch): marks for name, batch in more if (name, signal.SIGTERM, batch) not in CASES
    }


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory: pytest.TempPathFactory, digits: ImageSets) -> Iterator[Path]:
    """A current folder with a few digits and a network of one's own."""
    folder = tmp_path_factory.mktemp("resume")
    write_digits(folder / "digits", digits, train=2560, test=200)
    (folder / "own_networks.py").write_text(OWN_NETWORKS)
    sys.modules.pop("own_networks", None)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder
    sys.modules.pop("own_networks", None)


@pytest.fixture(scope="module")
def wholes() -> dict[str, End]:
    """How subjects end that are not stopped, each trained once."""
    return {}


@pytest.fixture(autouse=True)
def fresh_signals() -> None:
    forget_signal()
    torch.set_num_threads(1)  # those of others are missing in a forked process


@pytest.mark.parametrize(
    ("name", "number", "batch"),
    [pytest.param(*case, marks=marks, id=f"{case[0]}-{case[1].name}-{case[2]}") for case, marks in CASES.items()],
)
def test_resume_ends_with_the_same_bits(
    name: str, number: signal.Signals, batch: int, folder: Path, wholes: dict[str, End]
) -> None:
    subject = SUBJECTS[name]
    if subject.needs_compat and not wings.is_there("compat.loaders"):
        pytest.skip("needs the wing compat")
    if name not in wholes:
        wholes[name] = subject.train(f"{name}/whole", [])
    stopped = f"{name}/{number.name}_{batch}"
    if number == signal.SIGKILL:
        train = partial(subject.train, stopped, [Signal(batch, number)])
        process = multiprocessing.get_context("fork").Process(target=train)
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    else:
        with pytest.raises(Stopped) as caught:
            subject.train(stopped, [Signal(batch)])
        assert caught.value.exit_status == 128 + signal.SIGTERM
    forget_signal()
    whole, resumed = wholes[name], subject.train(stopped, [])
    assert whole.keys() == resumed.keys()
    assert [part for part in whole if not is_same(whole[part], resumed[part])] == []


def is_same(left: Any, right: Any) -> bool:
    return torch.equal(left, right) if isinstance(left, torch.Tensor) else bool(left == right)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("subject", ON_TWO)
def test_resume_on_two_processes_ends_with_the_same_bits(subject: str, number: signal.Signals, folder: Path) -> None:
    """A signal to one of them, within an epoch and, of a few images, shortly before its end and in its last step."""
    flags, name = [*ON_TWO[subject], *on(2)], f"two/{subject} {number.name}"
    stops = [75] if number == signal.SIGKILL else [11, 35, 40] if subject == "images" else [65]
    runs = [Run([*flags, "--name", f"{name}/whole"])]
    for batch in stops:
        stopped = Run([*flags, "--name", f"{name}/{batch}"], batch, number)
        resumed = Run(["--name", f"{name}/{batch}", "--resume"])
        if number == signal.SIGKILL:
            fit_on(2, stopped)
            runs.append(resumed)
        else:
            runs += [stopped, resumed]
    assert fit_on(2, *runs).count("\n2/2 ") == 1 + len(stops)
    whole, *others = (RunDirectory(f"{name}/{run}") for run in ("whole", *stops))
    for run in others:
        assert all(torch.equal(weight, weights(run)[part]) for part, weight in weights(whole).items())
        assert metric_rows(run) == metric_rows(whole)
        for tag in curves(whole).keys() & {"train/loss", "train/acc", "train/loss_step"}:
            assert curves(run)[tag] == curves(whole)[tag]


def count_steps(counter: Path) -> None:
    """Append a byte to a file for each training step from now on."""
    descriptor = os.open(counter, os.O_WRONLY | os.O_APPEND)

    def count(*_: object) -> None:
        os.write(descriptor, b".")

    ImageClassifier.on_before_zero_grad = count  # type: ignore[assignment, method-assign]


def kill_after(steps: int, signal_number: int, *arguments: str) -> None:
    """Start fit.py and kill it after this number of training steps."""
    counter = Path("steps")
    counter.write_bytes(b"")
    with start_script("fit", *arguments, prepare=partial(count_steps, counter)) as process:
        while steps > counter.stat().st_size and process.poll() is None:
            time.sleep(0.001)
        process.send_signal(signal_number)
        process.wait(60)


@pytest.mark.slow
@pytest.mark.parametrize("kills", [4, pytest.param(20, marks=NIGHTLY)])
def test_resume_after_kills_at_random_moments(workspace: Path, kills: int) -> None:
    flags = ["--arch", "mlp", "--threads", "1", "--epochs", "3", "--resume", "--name"]
    fit.main([*flags, "whole"])
    rng = random.Random(0)
    for _ in range(kills):
        kill_after(rng.randint(0, 2 * 2814 // kills), rng.choice([signal.SIGKILL, signal.SIGTERM]), *flags, "killed")
        if RunDirectory("killed").result_after(3):
            shutil.rmtree(RunDirectory("killed").path)  # begin again: the kills are not spent yet
    # In a process of its own too: TensorBoard reads the files of one second in the order of their processes' numbers.
    last = run_script("fit", *flags, "killed", cwd=workspace)
    assert last.returncode == 0, last.stderr
    whole, killed = RunDirectory("whole"), RunDirectory("killed")
    assert all(torch.equal(weight, weights(killed)[name]) for name, weight in weights(whole).items())
    assert metric_rows(whole) == metric_rows(killed)
    for tag in ("train/loss", "train/loss_step", "test/acc", "train/lr"):
        assert curves(whole)[tag] == curves(killed)[tag]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("owner", "method", "call"),
    [
        (ImageClassifier, "on_before_zero_grad", 12),  # before the first checkpoint
        (_LoggerConnector, "update_train_epoch_metrics", 2),
    ],
)
def test_resume_leaves_whole_curves(
    folder: Path, monkeypatch: pytest.MonkeyPatch, owner: type, method: str, call: int
) -> None:
    """Killed after that call."""
    flags, name = [*DEBUG, "--arch", "mlp", "--data.root", "digits"], f"curves/{method}_{call}"
    fit.main([*flags, "--name", f"{name}/whole"])
    calls, original = itertools.count(1), getattr(owner, method)

    def kill(*arguments: object) -> None:
        original(*arguments)
        if next(calls) == call:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(owner, method, kill)
        with pytest.raises(KeyboardInterrupt):
            fit.main([*flags, "--name", f"{name}/killed"])
    fit.main(["--name", f"{name}/killed", "--resume"])
    expected, resumed = curves(RunDirectory(f"{name}/whole")), curves(RunDirectory(f"{name}/killed"))
    assert expected.keys() == resumed.keys()
    assert [tag for tag in expected if tag != "vitals/speed/seconds" and resumed[tag] != expected[tag]] == []


@pytest.mark.slow
def test_resume_restores_the_number_of_threads(workspace: Path) -> None:
    fit.main([*DEBUG, "--arch", "mlp", "--name", "run", "--threads", "1", "--epochs", "1"])
    torch.set_num_threads(2)
    fit.main(["--name", "run", "--resume", "--epochs", "2"])
    assert torch.get_num_threads() == 1


@pytest.mark.slow
def test_resume_is_offered_by_a_run_that_a_signal_stops_during_the_imports(workspace: Path) -> None:
    script = [sys.executable, str(REPOSITORY / "scripts" / "fit.py"), "--arch", "mlp", "--name", "early"]
    with subprocess.Popen(script, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        time.sleep(1.5)
        process.terminate()
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 143
    assert "stopped after step 1: carry on with --resume" in errors


@pytest.mark.skipif(not wings.is_there("compat.loaders"), reason="needs the wing compat")
@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("stream", ""),
        ("torch", "The training loader has no state_dict: this run can be resumed at the ends of epochs only."),
        ("named", "The training loader has no length, and its batches are more than tensors and plain values: this"),
        ("persistent workers", "The workers of the training loader are persistent: if they draw random numbers, a"),
    ],
)
def test_resume_says_what_a_loader_loses(
    kind: str, line: str, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Stopped) as caught:
        plain(Plain, kind).train("run", [Signal(kinds.STEPS + 3)])
    printed = capsys.readouterr().out
    assert line in printed if line else "resume" not in printed
    assert ("from the end of an epoch" in str(caught.value)) == (kind in ("torch", "named"))


def fit_until(step: int, flags: list[str]) -> None:
    """Start a run that SIGTERM stops in this step."""
    with pytest.raises(Stopped):
        fit.main(flags, [Signal(step)])
    forget_signal()


def flip_a_bit(checkpoint: Path) -> None:
    content = bytearray(checkpoint.read_bytes())
    content[len(content) // 2] ^= 1
    checkpoint.write_bytes(content)


def replace_by_a_foreign_file(checkpoint: Path) -> None:
    torch.save({"weights": torch.zeros(3)}, checkpoint)


def change_the_shape_of_an_optimizers_state(checkpoint: Path) -> None:
    """Torch's fused kernels would read beyond its end."""
    content = torch.load(checkpoint, weights_only=True)
    for state in content["optimizer_states"][0]["state"].values():
        state["exp_avg"] = torch.zeros(1, 1, 1)
    torch.save(content, checkpoint)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (flip_a_bit, r"cannot load .*last\.ckpt: it is damaged.*\. Put an intact copy there, or delete it to start"),
        (replace_by_a_foreign_file, "is not a checkpoint of this version of convblocks: train again"),
        (change_the_shape_of_an_optimizers_state, r"cannot resume from .*last\.ckpt: an optimizer's state is not of"),
    ],
)
def test_resume_refuses_other_checkpoints(spoil: Callable[[Path], None], message: str, workspace: Path) -> None:
    fit_until(12, [*DEBUG, "--arch", "mlp", "--lr", "0.01", "--name", "run"])
    spoil(RunDirectory("run").last_checkpoint)
    with pytest.raises(UserError, match=message) as caught:
        fit.main(["--name", "run", "--resume"])
    assert "\n" not in str(caught.value)
