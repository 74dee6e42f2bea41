"""Loss, metrics and optimizer around the networks."""

from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer
from torch import Tensor
from torch.nn import functional

from convblocks.data.images import MNIST, ImageSets
from convblocks.data.module import MNISTDataModule
from convblocks.errors import UsageError
from convblocks.model.classifier import DigitClassifier
from convblocks.model.metrics import LossAndAccuracy
from convblocks.model.networks import ARCHITECTURES


def first_batch(digits: ImageSets, size: int = 64) -> tuple[Tensor, Tensor]:
    return MNIST.normalize(digits.train.images[:size]), digits.train.labels[:size]


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
