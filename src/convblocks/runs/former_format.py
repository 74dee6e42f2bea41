"""What runs were written with by former versions, put into today's terms."""

from pathlib import PurePath
from typing import Any

from convblocks.data.image_spec import MNIST
from convblocks.runs.relocation import RUN, relocated

# What was always so before it could be chosen.
OF_LATER = {"loss": "cross_entropy"}


def renewed_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of a ``config.yaml``: from before optimizer, schedule, network, loss and data could be anything."""
    settings = OF_LATER | settings | {"data": {"flip": False} | settings["data"]}
    if "model" not in settings:
        return settings
    former = {key: value for key, value in settings.items() if key != "model"}
    trainer = {key: value for key, value in settings["trainer"].items() if key != "default_root_dir"}
    return former | _renewed(settings["model"]) | {"network": None, "trainer": trainer | {"sync_batchnorm": True}}


def renewed_checkpoint(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """All that a checkpoint holds."""
    hyper_parameters = checkpoint.get("hyper_parameters", {})
    if "schedule" in hyper_parameters:
        kept = {key: hyper_parameters[key] for key in ("arch", "lr")}
        new = kept | _renewed(hyper_parameters) | {"network": None, "sync_batchnorm": True}
        callbacks = {
            key.replace("ModelCheckpoint{", "RunCheckpoint{"): state for key, state in checkpoint["callbacks"].items()
        }
        checkpoint = checkpoint | {"hyper_parameters": new, "callbacks": callbacks}
    if "arch" in hyper_parameters:
        later = OF_LATER | {"image_spec": MNIST.as_dict()}
        checkpoint = checkpoint | {"hyper_parameters": later | checkpoint["hyper_parameters"]}
    return _without_absolute_paths(checkpoint)


def _without_absolute_paths(checkpoint: dict[str, Any]) -> dict[str, Any]:
    for key, state in checkpoint.get("callbacks", {}).items():
        folder = PurePath(state.get("dirpath") or "")
        if key.startswith("RunCheckpoint{") or folder.name == "own_checkpoints":
            checkpoint = relocated(checkpoint, str(folder.parent), RUN)
    return checkpoint


def _renewed(former: dict[str, Any]) -> dict[str, Any]:
    weight_decay = {"weight_decay": former["weight_decay"]} if former["weight_decay"] else {}
    optimizer = former["optimizer"]
    return {
        "optimizer": {"class_path": optimizer, "init_args": weight_decay} if weight_decay else optimizer,
        "lr_scheduler": former["schedule"],
    }
