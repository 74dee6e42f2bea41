"""Loss, metrics and optimizer around the networks."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from convblocks.data.images import MNIST, ImageSets
from convblocks.data.module import MNISTDataModule
from convblocks.errors import UsageError
from convblocks.model.building import build_optimizer
from convblocks.model.classifier import ImageClassifier
from tests.core.run.own_parts import Focal


class Hidden(nn.Sequential):
    """A user's network, with an argument."""

    def __init__(self, hidden: int = 8) -> None:
        super().__init__(
            nn.Conv2d(1, 2, 3),
            nn.Flatten(),
            nn.LazyLinear(hidden),
            nn.ReLU(),
            nn.Linear(hidden, 10),
        )


def make_hidden(hidden: int) -> nn.Module:
    return Hidden(hidden)


@pytest.fixture
def batch(digits: ImageSets) -> tuple[Tensor, Tensor]:
    return MNIST.normalize(digits.train.images[:64]), digits.train.labels[:64]


def fitted(module: ImageClassifier, folder: Path, batch_size: int = 64, **settings: Any) -> Trainer:
    """A Trainer that has trained a classifier for a few steps, and saved it to net.ckpt."""
    quiet: dict[str, Any] = {
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    short = {
        "max_epochs": 1,
        "limit_train_batches": 3,
        "limit_val_batches": 0,
        "enable_checkpointing": False,
    }
    trainer = Trainer(default_root_dir=folder, accelerator="cpu", **(quiet | short | settings))
    trainer.fit(module, datamodule=MNISTDataModule(batch_size=batch_size))
    trainer.save_checkpoint(folder / "net.ckpt")
    return trainer


def trained(
    folder: Path, *arguments: Any, **settings: Any
) -> tuple[ImageClassifier, dict[str, Any]]:
    """A classifier after a few steps, saved to net.ckpt, and the hyper-parameters there."""
    module = ImageClassifier(*arguments, **settings)
    fitted(module, folder)
    return module, torch.load(folder / "net.ckpt", weights_only=True)["hyper_parameters"]


def load(folder: Path, **passed: Any) -> ImageClassifier:
    return ImageClassifier.load_from_checkpoint(folder / "net.ckpt", weights_only=True, **passed)


def test_metrics_of_training_weight_all_images_of_the_epoch_equally(
    tmp_path: Path, digits: ImageSets
) -> None:
    """With a learning rate too small to change anything; the last batch is half as
    large as the others.
    """
    module = ImageClassifier("mlp", lr=1e-12)
    metrics = fitted(module, tmp_path, batch_size=8000, limit_train_batches=1.0).callback_metrics
    with torch.no_grad():
        logits = module(MNIST.normalize(digits.train.images))
    assert float(metrics["train/loss"]) == pytest.approx(
        functional.cross_entropy(logits, digits.train.labels).item()
    )
    correct = (logits.argmax(1) == digits.train.labels).double()
    assert float(metrics["train/acc"]) == pytest.approx(correct.mean().item())


def test_checkpoint_reloads_to_the_same_logits(
    tmp_path: Path, batch: tuple[Tensor, Tensor]
) -> None:
    module, hparams = trained(tmp_path, "batchnorm", lr=3e-3)
    assert hparams == {
        "arch": "batchnorm",
        "lr": 3e-3,
        "optimizer": "adam",
        "lr_scheduler": "constant",
        "network": None,
        "sync_batchnorm": True,
        "loss": "cross_entropy",
        "image_spec": MNIST.as_dict(),
    }
    assert torch.equal(load(tmp_path).eval()(batch[0]), module.eval()(batch[0]))


def test_optimizer_is_a_fused_adam_at_the_courses_learning_rate() -> None:
    optimizer = ImageClassifier("mlp").configure_optimizers()
    assert isinstance(optimizer, torch.optim.Adam)
    assert (optimizer.defaults["lr"], optimizer.defaults["fused"]) == (1e-2, True)


@pytest.mark.parametrize(
    ("schedule", "first", "last"), [("onecycle", 4e-4, 4e-8), ("cosine", 1e-2, 6.16e-5)]
)
def test_schedule_spans_the_run(tmp_path: Path, schedule: str, first: float, last: float) -> None:
    module = ImageClassifier("mlp", lr_scheduler=schedule)
    rates: list[float] = []

    def remember_rate(optimizer: Optimizer) -> None:
        rates.append(optimizer.param_groups[0]["lr"])

    module.on_before_zero_grad = remember_rate  # type: ignore[method-assign]
    fitted(module, tmp_path, max_epochs=2, limit_train_batches=10)
    assert len(rates) == 20
    assert [rates[0], rates[-1]] == pytest.approx([first, last], rel=1e-3)


@pytest.mark.parametrize(
    "precision", ["bf16-mixed", "bf16-true", pytest.param("64-true", marks=pytest.mark.slow)]
)
def test_precision_other_than_the_default_trains(tmp_path: Path, precision: str) -> None:
    torch.manual_seed(0)
    limits = {"limit_train_batches": 30, "limit_val_batches": 2}
    trainer = fitted(ImageClassifier("batchnorm"), tmp_path, precision=precision, **limits)
    assert float(trainer.callback_metrics["test/acc"]) > 0.5


# Classes, functions and modules passed in Python.


@pytest.mark.parametrize(
    ("arch", "network", "name", "problem"),
    [
        (Hidden, {"hidden": 4}, f"{__name__}.Hidden", None),
        (make_hidden, {"hidden": 4}, f"{__name__}.make_hidden", "a checkpoint alone must not call"),
        (
            lambda hidden: Hidden(hidden),
            {"hidden": 4},
            f"{__name__}.<lambda>",
            "import its module first",
        ),
    ],
    ids=["class", "function", "lambda"],
)
def test_network_passed_in_python_is_loaded_by_its_name_if_it_is_an_imported_class(
    tmp_path: Path,
    batch: tuple[Tensor, Tensor],
    arch: Callable[..., nn.Module],
    network: dict[str, Any] | None,
    name: str,
    problem: str | None,
) -> None:
    module, hparams = trained(tmp_path, arch, network=network)
    assert (hparams["arch"], hparams["network"]) == (name, network)
    convolution = next(layer for layer in module.modules() if isinstance(layer, nn.Conv2d))
    assert convolution.weight.is_contiguous(memory_format=torch.channels_last)
    loaded = load(tmp_path, arch=arch)
    assert torch.equal(loaded.eval()(batch[0]), module.eval()(batch[0]))
    if problem is None:
        assert load(tmp_path).hparams == module.hparams
    else:
        with pytest.raises((UsageError, RuntimeError), match=problem):
            load(tmp_path)


def test_checkpoint_cannot_import_a_class_by_lightnings_instantiator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lightning's CLI parses hyper-parameters by the types of the classifier's
    arguments, and imports classes.
    """
    (tmp_path / "evil.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    trained(tmp_path, "mlp")
    content = torch.load(tmp_path / "net.ckpt", weights_only=True)
    content["hyper_parameters"] |= {"_instantiator": "lightning.pytorch.cli.instantiate_module"}
    for option in ("arch", "optimizer", "lr_scheduler"):
        evil = content["hyper_parameters"] | {option: {"class_path": "evil.Network"}}
        torch.save(content | {"hyper_parameters": evil}, tmp_path / "net.ckpt")
        with contextlib.suppress(Exception):  # refused, or never used
            load(tmp_path)


def test_optimizer_schedule_and_loss_can_be_classes(tmp_path: Path) -> None:
    classes = torch.optim.SGD, "torch.optim.lr_scheduler.ConstantLR", nn.CrossEntropyLoss
    module, hparams = trained(tmp_path, "mlp", 0.1, *classes[:2], loss=classes[2])
    assert type(module.optimizers(use_pl_optimizer=False)) is torch.optim.SGD
    assert hparams["optimizer"] == "torch.optim.sgd.SGD"
    assert hparams["loss"] == "torch.nn.modules.loss.CrossEntropyLoss"
    assert load(tmp_path).hparams == module.hparams


def test_loss_with_arguments_trains_by_the_mean_over_images(
    tmp_path: Path, batch: tuple[Tensor, Tensor]
) -> None:
    weight = torch.arange(1.0, 11.0)
    loss = {"class_path": "CrossEntropyLoss", "init_args": {"weight": weight}}
    module, _ = trained(tmp_path, "mlp", loss=loss)
    logits, targets = load(tmp_path)(batch[0]), batch[1]
    expected = nn.CrossEntropyLoss(weight, reduction="sum")(logits, targets)
    assert torch.allclose(module.loss(logits, targets), expected)


def test_loss_derived_from_one_of_torchs_may_return_one_loss_per_image(
    batch: tuple[Tensor, Tensor],
) -> None:
    module = ImageClassifier("mlp", loss=Focal)
    assert module.loss(module(batch[0]), batch[1]).shape == (64,)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"arch": lambda: 3}, "<lambda> returns a int, not a Module"),
        ({"arch": "mlp", "lr": float("nan")}, "--lr must be above 0 and finite, but is nan"),
        (
            {"arch": "mlp", "optimizer": {"class_path": "adam", "init_args": {"eps": -1.0}}},
            "Adam cannot be made with .* Invalid epsilon value: -1.0",
        ),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        ImageClassifier(**settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "momentum"),
    [("sgd", 0.9), ({"class_path": "sgd", "init_args": {"momentum": 0.5}}, 0.5)],
)
def test_optimizer_sgd_has_momentum_unless_it_is_given(
    spec: str | dict[str, Any], momentum: float
) -> None:
    optimizer = build_optimizer(spec, nn.Linear(2, 2).parameters(), lr=0.1)
    assert optimizer.param_groups[0]["momentum"] == momentum
