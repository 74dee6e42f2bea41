"""Loss, metrics and optimizer around the networks."""

import contextlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn
from torch.nn import functional

from convblocks.data.images import MNIST, ImageSets
from convblocks.data.module import MNISTDataModule
from convblocks.errors import UsageError
from convblocks.model.classifier import DigitClassifier
from convblocks.model.metrics import LossAndAccuracy
from convblocks.model.networks import ARCHITECTURES, MultiLayerPerceptron


def first_batch(digits: ImageSets, size: int = 64) -> tuple[Tensor, Tensor]:
    return MNIST.normalize(digits.train.images[:size]), digits.train.labels[:size]


class Hidden(nn.Sequential):
    """A network of one's own, with an argument."""

    def __init__(self, hidden: int = 8) -> None:
        super().__init__(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.LazyLinear(hidden), nn.ReLU(), nn.Linear(hidden, 10))


def make_hidden(hidden: int) -> nn.Module:
    return Hidden(hidden)


def local_class() -> type[nn.Module]:
    class Local(Hidden):
        pass

    return Local


class Focal(nn.Module):
    def __init__(self, gamma: float = 2.0) -> None:
        super().__init__()
        self.gamma = gamma

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        losses = functional.cross_entropy(logits, targets, reduction="none")
        return (1 - (-losses).exp()) ** self.gamma * losses


def quiet_trainer(folder: Path, **settings: object) -> Trainer:
    return Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        **settings,  # type: ignore[arg-type]  # passed on unchanged
    )


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_one_batch_can_be_learned_by_heart(arch: str, digits: ImageSets) -> None:
    torch.manual_seed(0)
    images, targets = first_batch(digits)
    network = DigitClassifier(arch).network
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(60):
        loss = functional.cross_entropy(network(images), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.05


def test_metrics_weight_all_images_equally(digits: ImageSets) -> None:
    logits = torch.randn(100, 10, generator=torch.Generator().manual_seed(0))
    targets = digits.train.labels[:100]
    metrics = LossAndAccuracy()
    for part in (slice(0, 64), slice(64, 96), slice(96, 100)):
        loss_sum = functional.cross_entropy(logits[part], targets[part], reduction="sum")
        metrics.update(loss_sum, logits[part], targets[part])
    computed = metrics.compute()
    assert computed["loss"].item() == pytest.approx(functional.cross_entropy(logits, targets).item(), rel=1e-6)
    assert computed["acc"].item() == pytest.approx((logits.argmax(1) == targets).double().mean().item())


def test_metrics_survive_a_checkpoint_within_an_epoch() -> None:
    metrics = LossAndAccuracy()
    metrics.update(torch.tensor(5.0), torch.eye(10), torch.arange(10))
    restored = LossAndAccuracy()
    restored.load_state_dict(metrics.state_dict())
    restored.update(torch.tensor(15.0), torch.eye(10), torch.zeros(10, dtype=torch.long))
    assert {name: value.item() for name, value in restored.compute().items()} == {
        "loss": 1.0,
        "acc": pytest.approx(0.55),
    }


def test_training_metrics_are_those_of_the_epoch(tmp_path: Path) -> None:
    """With a learning rate too small to change anything, training and evaluation must agree."""
    torch.manual_seed(0)
    module, data = DigitClassifier("mlp", lr=1e-12), MNISTDataModule(batch_size=1000)
    trainer = quiet_trainer(tmp_path, max_epochs=1, limit_val_batches=0)
    trainer.fit(module, datamodule=data)
    loss = functional.cross_entropy(module(MNIST.normalize(data.train.images)), data.train.labels)
    assert float(trainer.callback_metrics["train/loss"]) == pytest.approx(loss.item(), rel=1e-5)


def test_a_checkpoint_reloads_to_the_same_logits(tmp_path: Path, digits: ImageSets) -> None:
    module, data = DigitClassifier("batchnorm", lr=3e-3), MNISTDataModule()
    trainer = quiet_trainer(tmp_path, max_epochs=1, limit_train_batches=20, limit_val_batches=0)
    trainer.fit(module, datamodule=data)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert checkpoint["hyper_parameters"] == {
        "arch": "batchnorm",
        "lr": 3e-3,
        "optimizer": "adam",
        "lr_scheduler": "constant",
        "network": None,
        "sync_batchnorm": True,
        "loss": "cross_entropy",
        "image_spec": MNIST.as_dict(),
    }
    reloaded = DigitClassifier.load_from_checkpoint(tmp_path / "last.ckpt", weights_only=True)
    images, _ = first_batch(digits)
    assert torch.equal(reloaded.eval()(images), module.eval()(images))


def test_adam_is_fused_and_has_the_courses_learning_rate(tmp_path: Path) -> None:
    trainer = quiet_trainer(tmp_path, max_epochs=1, limit_train_batches=1, limit_val_batches=0)
    trainer.fit(DigitClassifier("mlp"), datamodule=MNISTDataModule())
    (optimizer,) = trainer.optimizers
    assert isinstance(optimizer, torch.optim.Adam)
    assert (optimizer.defaults["lr"], optimizer.defaults["fused"]) == (1e-2, True)


@pytest.mark.parametrize(("schedule", "first", "last"), [("onecycle", 4e-4, 4e-8), ("cosine", 1e-2, 6.16e-5)])
def test_schedules_span_the_run(tmp_path: Path, schedule: str, first: float, last: float) -> None:
    module = DigitClassifier("mlp", lr_scheduler=schedule)
    trainer = quiet_trainer(tmp_path, max_epochs=2, limit_train_batches=10, limit_val_batches=0)
    rates: list[float] = []
    module.on_before_zero_grad = lambda optimizer: rates.append(optimizer.param_groups[0]["lr"])  # type: ignore[method-assign]
    trainer.fit(module, datamodule=MNISTDataModule())
    assert len(rates) == 20
    assert rates[0] == pytest.approx(first)
    assert rates[-1] == pytest.approx(last, rel=1e-3)


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true", "64-true"])
def test_other_precisions_train(tmp_path: Path, precision: str) -> None:
    module = DigitClassifier("batchnorm")
    trainer = quiet_trainer(tmp_path, max_epochs=1, limit_train_batches=30, limit_val_batches=2, precision=precision)
    trainer.fit(module, datamodule=MNISTDataModule())
    assert float(trainer.callback_metrics["test/acc"]) > 0.5


WRONG_DECAY = {"class_path": "torch.optim.AdamW", "init_args": {"weight_decay": -1.0}}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"arch": "resnet"}, "unknown architecture 'resnet': choose one of mlp, maxpool, batchnorm"),
        ({"arch": "mlp", "optimizer": "adma"}, "unknown optimizer 'adma': choose one of adam, adamw, sgd"),
        (
            {"arch": "mlp", "lr_scheduler": "onecylce"},
            "unknown lr_scheduler 'onecylce': choose one of constant, onecycle",
        ),
        ({"arch": "mlp", "lr": 0.0}, "learning rate"),
        ({"arch": "mlp", "lr": float("nan")}, "learning rate"),
        ({"arch": "mlp", "optimizer": WRONG_DECAY}, "Invalid weight_decay value: -1.0"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        DigitClassifier(**settings)  # type: ignore[arg-type]  # the keys are its arguments


def trained(tmp_path: Path, *arguments: Any, **settings: Any) -> tuple[DigitClassifier, dict[str, Any]]:
    """A classifier after a few steps, saved to net.ckpt, and the hyper-parameters there."""
    module = DigitClassifier(*arguments, **settings)
    trainer = quiet_trainer(tmp_path, max_epochs=1, limit_train_batches=3, limit_val_batches=0)
    trainer.fit(module, datamodule=MNISTDataModule())
    trainer.save_checkpoint(tmp_path / "net.ckpt")
    return module, torch.load(tmp_path / "net.ckpt", weights_only=True)["hyper_parameters"]


def load(tmp_path: Path, **passed: Any) -> DigitClassifier:
    return DigitClassifier.load_from_checkpoint(tmp_path / "net.ckpt", weights_only=True, **passed)


@pytest.mark.parametrize(
    ("arch", "network", "name"),
    [
        (Hidden, {"hidden": 4}, f"{__name__}.Hidden"),
        (make_hidden, {"hidden": 4}, f"{__name__}.make_hidden"),
        (local_class(), None, f"{__name__}.local_class.<locals>.Local"),
        (lambda hidden: Hidden(hidden), {"hidden": 4}, f"{__name__}.<lambda>"),
        (partial(Hidden, hidden=4), None, "functools.<partial>"),
        (Hidden(4), None, f"{__name__}.Hidden"),
    ],
    ids=["class", "function", "local class", "lambda", "partial", "network"],
)
def test_a_network_can_be_passed_in_python(
    tmp_path: Path, digits: ImageSets, arch: Callable[..., nn.Module], network: dict[str, Any] | None, name: str
) -> None:
    module, kept = trained(tmp_path, arch, network=network)
    assert kept["arch"] == name
    assert kept["network"] == ("built outside" if isinstance(arch, nn.Module) else network)
    convolution = next(layer for layer in module.modules() if isinstance(layer, nn.Conv2d))
    assert convolution.weight.is_contiguous(memory_format=torch.channels_last)
    loaded = load(tmp_path, arch=Hidden(4) if isinstance(arch, nn.Module) else arch)
    images, _ = first_batch(digits)
    assert torch.equal(loaded.eval()(images), module.eval()(images))


@pytest.mark.parametrize("arch", [Hidden, make_hidden])
def test_a_class_or_function_that_was_passed_is_found_again_by_its_name(tmp_path: Path, arch: Any) -> None:
    module, _ = trained(tmp_path, arch, network={"hidden": 4})
    assert load(tmp_path).hparams == module.hparams


@pytest.mark.parametrize(
    ("arch", "message"),
    [
        (Hidden(4), r"the checkpoint does not say how its network was built: load it with arch=.*Hidden\(\.\.\.\)"),
        (local_class(), "<locals>.Local cannot be found by its name: pass the class or function itself"),
    ],
)
def test_a_network_without_a_name_must_be_passed_again(tmp_path: Path, arch: Any, message: str) -> None:
    trained(tmp_path, arch)
    with pytest.raises(UsageError, match=message):
        load(tmp_path)


def test_a_network_that_was_passed_cannot_be_built_from_its_class(tmp_path: Path) -> None:
    trained(tmp_path, Hidden(4))
    with pytest.raises(UsageError, match=r"how its network was built: load it with arch=.*Hidden\(\.\.\.\)"):
        load(tmp_path, arch=Hidden)


def test_a_registered_network_that_was_passed_can_be_loaded_by_name(tmp_path: Path) -> None:
    module, _ = trained(tmp_path, MultiLayerPerceptron())
    assert load(tmp_path, arch="mlp").state_dict().keys() == module.state_dict().keys()


def test_a_checkpoint_cannot_import_a_class_by_lightnings_instantiator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lightning's CLI parses hyper-parameters by the types of the classifier's arguments, and imports classes."""
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


def test_an_optimizer_schedule_and_loss_can_be_passed_too(tmp_path: Path) -> None:
    plateau = partial(torch.optim.lr_scheduler.StepLR, step_size=2)
    module, kept = trained(tmp_path, "mlp", optimizer=torch.optim.SGD, lr_scheduler=plateau, loss=nn.CrossEntropyLoss)
    assert type(module.optimizers(use_pl_optimizer=False)) is torch.optim.SGD
    assert (kept["optimizer"], kept["lr_scheduler"]) == ("torch.optim.sgd.SGD", "functools.<partial>")
    assert kept["loss"] == "torch.nn.modules.loss.CrossEntropyLoss"
    load(tmp_path)


@pytest.mark.parametrize("loss", [Focal(1.0), nn.CrossEntropyLoss(torch.arange(1.0, 11.0))], ids=["own", "torch"])
def test_a_loss_that_is_built_trains_by_the_mean_over_images(tmp_path: Path, digits: ImageSets, loss: Any) -> None:
    module, kept = trained(tmp_path, "mlp", loss=loss)
    assert kept["loss"] == {
        "class_path": f"{type(loss).__module__}.{type(loss).__name__}",
        "init_args": "built outside",
    }
    logits, targets = module(first_batch(digits)[0]), first_batch(digits)[1]
    expected = (
        loss(logits, targets)
        if isinstance(loss, Focal)
        else functional.cross_entropy(logits, targets, loss.weight, reduction="none")
    )
    assert torch.allclose(module.loss(logits, targets).sum(), expected.sum())
    assert getattr(loss, "reduction", "mean") == "mean"  # the passed one is left as it was
    assert load(tmp_path, loss=loss).hparams == module.hparams
    with pytest.raises(UsageError, match=r"the checkpoint does not say how its .* was built"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"arch": Hidden(), "network": {"hidden": 3}}, "Hidden takes no arguments, but was given hidden"),
        ({"arch": nn.Flatten()}, r"Flatten returns \(2, 784\) for images \(2, 1, 28, 28\), not logits \(2, 10\)"),
        ({"arch": nn.Conv2d(3, 1, 3)}, r"Conv2d does not take images \(B, 1, 28, 28\)"),
        ({"arch": lambda: 3}, "<lambda> returns a int, not a Module"),
        ({"arch": Hidden, "network": {"depth": 3}}, "Module .*Hidden cannot be made with depth=3"),
        ({"arch": "mlp", "optimizer": nn.ReLU}, "ReLU is not a subclass of Optimizer"),
        ({"arch": "mlp", "loss": nn.MSELoss()}, r"MSELoss does not take logits \(2, 10\)"),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_what_is_passed_must_fit(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        DigitClassifier(**settings)
    assert "\n" not in str(caught.value)
