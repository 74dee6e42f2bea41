"""Logs the share of dead units, and says at the end what is wrong with a run."""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from shlex import quote

import torch
from lightning.pytorch import LightningModule, Trainer

from convblocks.console import CommandLine, command_words
from convblocks.data.module import ImageDataModule
from convblocks.diagnosis.advice import dead_units_in, diagnose, whole_percent
from convblocks.diagnosis.collapse import chance_accuracy, collapsed_in, constant_answer_to, has_collapsed
from convblocks.diagnosis.dead_units import dead_shares
from convblocks.model.classifier import ImageClassifier
from convblocks.run.callbacks import RunCallback
from convblocks.run.directory import DEAD
from convblocks.run.final_evaluation import classification_of
from convblocks.run.result import RunResult
from convblocks.run.run import Run
from convblocks.text import as_shown

# A unit is dead if it outputs 0 for each of this many images: the first of those that the run is evaluated on.
IMAGES = 1000

# In batches whose activations stay in the processor's cache, which saves a third of the time.
BATCH_SIZE = 100


def make(run: Run) -> "DeadUnits | None":
    """For runs of image classifiers."""
    return DeadUnits() if classification_of(run) else None


class DeadUnits(RunCallback):
    """Logs the share of dead units behind each ReLU, as ``dead/relu1`` and so on; nothing without ReLUs.

    Every process computes the same shares, from the same weights and images. Training is not affected.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        # Raised for every value logged without a reduction; these are the same in all processes.
        warnings.filterwarnings("ignore", message=rf"It is recommended to use `self.log\('{DEAD}")

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, ImageClassifier)
        data = trainer.datamodule  # type: ignore[attr-defined]  # Lightning sets it at run time
        if not trainer.sanity_checking:
            pl_module.log_dict(measure_dead_units(trainer, pl_module, data))

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Not logged: as a point of their curves the shares of the final weights would be a false one.
        assert isinstance(pl_module, ImageClassifier)
        data = trainer.datamodule  # type: ignore[attr-defined]  # Lightning sets it at run time
        if data is None:  # of a plain Trainer
            return
        shares = measure_dead_units(trainer, pl_module, data)
        trainer.callback_metrics.update(
            {name: torch.tensor(share, dtype=torch.float64) for name, share in shares.items()}
        )

    def on_result(self, run: Run, result: RunResult) -> RunResult:
        """The result, failed if it has collapsed, with facts: its images, what chance gets, what is wrong with it."""
        classification = classification_of(run)
        assert classification is not None
        data, loss = classification.data, classification.module.hparams["loss"]
        train, test, spec = data.train.labels, data.test.labels, data.files.image_spec
        chance = chance_accuracy(test)
        constant = constant_answer_to(train, is_cross_entropy=loss == "cross_entropy")
        has_failed = result.failed or has_collapsed(result.epochs, result.final, chance, constant, len(spec.classes))
        images = {"spec": spec.as_dict(), "train": len(train), "test": len(test)}
        facts = result.facts | {"images": images, "chance": chance, "constant": constant._asdict()}
        if has_failed:
            facts["collapsed_in"] = collapsed_in(result, chance)
        found = replace(result, failed=has_failed, facts=facts)
        diagnosis = diagnose(classification, found, run.divergence.step)
        if diagnosis is None:
            return found
        shown = {"sentence": diagnosis.sentence, "options": [*diagnosis.options]}
        return replace(found, facts=facts | {"diagnosis": shown})

    def last_lines(self, run: Run, result: RunResult) -> Sequence[str | CommandLine]:
        """The shares of dead units, what is wrong, and the command to try next."""
        lines: list[str | CommandLine] = []
        if run.divergence.step is None and (shares := dead_units_in(result.final)):
            lines.append(f"dead units: {', '.join(f'{relu} {whole_percent(share)}' for relu, share in shares.items())}")
        if diagnosis := result.facts.get("diagnosis"):
            lines.append(diagnosis["sentence"])
            again = ["--config", quote(as_shown(run.directory.config)), *diagnosis["options"]]
            lines += [CommandLine("try next      ", [*command_words("fit"), *again])] if diagnosis["options"] else []
        return lines


def measure_dead_units(trainer: Trainer, classifier: ImageClassifier, data: ImageDataModule) -> dict[str, float]:
    """The share of dead units behind each ReLU, as metrics.

    The images are always the same, however many the Trainer evaluates.
    """
    images = data.val.images[:IMAGES].split(min(BATCH_SIZE, data.eval_batch_size))
    precision = trainer.precision_plugin
    batches = (
        precision.convert_input(data.files.image_spec.normalize(batch.to(classifier.device))) for batch in images
    )
    with precision.forward_context():
        shares = dead_shares(classifier.network, batches)
    return {f"{DEAD}{relu}": share for relu, share in shares.items()}
