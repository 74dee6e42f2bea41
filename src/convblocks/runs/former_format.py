"""What runs were written with before optimizer, schedule and network could be anything, put into today's terms."""

from typing import Any


def renewed_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of a ``config.yaml``."""
    if "model" not in settings:
        return settings
    former = {key: value for key, value in settings.items() if key != "model"}
    trainer = {key: value for key, value in settings["trainer"].items() if key != "default_root_dir"}
    return former | _renewed(settings["model"]) | {"network": None, "trainer": trainer | {"sync_batchnorm": True}}


def renewed_checkpoint(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """All that a checkpoint holds."""
    hyper_parameters = checkpoint.get("hyper_parameters", {})
    if "schedule" not in hyper_parameters:
        return checkpoint
    kept = {key: hyper_parameters[key] for key in ("arch", "lr")}
    new = kept | _renewed(hyper_parameters) | {"network": None, "sync_batchnorm": True}
    callbacks = {
        key.replace("ModelCheckpoint{", "KeptCheckpoint{"): state for key, state in checkpoint["callbacks"].items()
    }
    return checkpoint | {"hyper_parameters": new, "callbacks": callbacks}


def _renewed(former: dict[str, Any]) -> dict[str, Any]:
    weight_decay = {"weight_decay": former["weight_decay"]} if former["weight_decay"] else {}
    optimizer = former["optimizer"]
    return {
        "optimizer": {"class_path": optimizer, "init_args": weight_decay} if weight_decay else optimizer,
        "lr_scheduler": former["schedule"],
    }
