"""Validation, test and prediction of a run of any module, by the commands."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from convblocks.errors import UserError
from convblocks.evaluate import command as evaluate
from convblocks.evaluate import test, validate
from convblocks.handwriting import predict
from convblocks.record.directory import RunDirectory
from convblocks.run import fit
from convblocks.text import as_yaml
from tests.any_task.regression import Curve, Points
from tests.any_task.tasks import HERE, options_of
from tests.core.run.test_fit import quick_run
from tests.core.run.test_own_parts import COMPOSED
from tests.scripts import run_script

Captured = pytest.CaptureFixture[str]


class Noisier(Points):
    """Other data, with an argument of its own."""

    def __init__(self, level: float = 5.0) -> None:
        super().__init__(noise=level)


@pytest.fixture(scope="module")
def curve(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of three epochs, only for reading."""
    folder = tmp_path_factory.mktemp("curve")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        fit.main([*options_of("regression"), "--trainer.logger", "false", "--name", "curve"])
    return folder


@pytest.fixture
def run(curve: Path, workspace: Path) -> RunDirectory:
    """A copy of it, in the current folder."""
    shutil.copytree(curve, workspace, dirs_exist_ok=True)
    return RunDirectory("curve")


def contents() -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}


def unlearn(run: RunDirectory) -> None:
    """Make the last weights of a run 0."""
    checkpoint = torch.load(run.last_checkpoint)
    for weight in checkpoint["state_dict"].values():
        weight.zero_()
    torch.save(checkpoint, run.last_checkpoint)


def measured(capsys: Captured) -> Any:
    """The object on standard output."""
    return json.loads(capsys.readouterr().out)


def test_metrics_are_those_of_the_run_by_its_folder_name_or_checkpoint(
    run: RunDirectory, capsys: Captured
) -> None:
    final = run.read_result().final
    before = contents()
    capsys.readouterr()
    for name in ("curve", str(run.path), str(run.best_checkpoint), str(run.path.absolute())):
        test.main([name, "--json"])
        assert measured(capsys) == {"test/rmse": final["test/rmse"]}
    validate.main(["curve", "--json"])
    assert measured(capsys) == {"val/rmse": final["val/rmse"]}
    validate.main(["curve"])
    assert capsys.readouterr().out.splitlines() == [
        "lightning_logs/curve/checkpoints/best.ckpt",
        f"val/rmse: {final['val/rmse']}",
    ]
    assert contents() == before


def test_last_weights_are_measured_if_they_are_named_or_the_only_ones(
    run: RunDirectory, capsys: Captured
) -> None:
    unlearn(run)
    validate.main([str(run.last_checkpoint), "--json"])
    last = measured(capsys)
    noise = torch.cat([y for _, y in Points().val_dataloader()])
    assert last == {"val/rmse": pytest.approx(float(noise.square().mean().sqrt()))}
    validate.main(["curve", "--json"])
    assert measured(capsys) == {"val/rmse": run.read_result().final["val/rmse"]}
    run.best_checkpoint.unlink()
    validate.main(["curve", "--json"])
    assert measured(capsys) == last


def test_settings_of_data_and_trainer_can_be_changed(run: RunDirectory, capsys: Captured) -> None:
    usual = run.read_result().final["test/rmse"]
    test.main(["curve", "--json", "--data.noise", "5"])
    (noisy,) = measured(capsys).values()
    test.main(["curve", "--json", "--data", f"{__name__}.Noisier"])
    assert measured(capsys) == {"test/rmse": noisy}
    assert noisy > 5 * usual
    test.main(["curve", "--json", "--trainer.limit_test_batches=1", "--trainer.devices=1"])
    assert measured(capsys)["test/rmse"] not in (usual, noisy)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nosuch"], "^nosuch is neither a run with a checkpoint nor a checkpoint in one"),
        (["lightning_logs"], "^lightning_logs is neither"),
        (["moved.ckpt"], "^moved.ckpt is neither"),
        ([], "the following arguments are required: run"),
        (["curve", "again"], "unrecognized arguments: again"),
        (["curve", "--data.nose", "1"], "unrecognized arguments: --data.nose.*data.noise"),
        (
            ["curve", "--data", "tests.any_task.regression.Line"],
            "is not a subclass of LightningDataModule",
        ),
        (
            ["curve", "--model", "tests.any_task.regression.Line", "--config=model.hidden: 3"],
            "unrecognized arguments: --model.hidden",
        ),
        (["curve", "--model.hidden", "3"], "best.ckpt does not hold the weights of Curve$"),
    ],
)
def test_wrong_words_are_one_line(run: RunDirectory, words: list[str], message: str) -> None:
    shutil.copy(run.last_checkpoint, "moved.ckpt")
    with pytest.raises(UserError, match=message):
        test.main(words)


def test_own_options_are_checked_before_the_run() -> None:
    for words, option in (
        (["--ouptut", "x.pt"], "--output"),
        (["--jsn"], "--json"),
        (["--output_file=x.pt"], "--output"),
    ):
        with pytest.raises(UserError, match=f": {words[0][:5]}.*: did you mean {option}"):
            predict.main(["nosuch", *words])


def test_damaged_files_are_one_line(run: RunDirectory) -> None:
    for config in (
        "nothing",
        "trainer: nothing",
        "model: {class_path: 3}",
        "judge: [",
        "model: {}",
    ):
        run.config.write_text(config)
        with pytest.raises(UserError):
            test.main(["curve"])
    run.best_checkpoint.write_bytes(b"PK")
    with pytest.raises(UserError, match=r"^cannot load .*best\.ckpt: it is damaged"):
        test.main(["curve"])


def test_loop_that_is_missing_is_named(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    for command, step, loader in (
        (validate, "validation_step", "val_dataloader"),
        (test, "test_step", "test_dataloader"),
    ):
        with monkeypatch.context() as patch:
            patch.delattr(Points, loader)
            with pytest.raises(UserError, match=f"^Points has no {loader}$"):
                command.main(["curve"])
        with monkeypatch.context() as patch:
            patch.delattr(Curve, step)
            with pytest.raises(UserError, match=f"^Curve has no {step}$"):
                command.main(["curve"])
    with pytest.raises(UserError, match=r"^Curve has no predict_step or forward$"):
        predict.main(["curve"])


def test_predictions_are_those_of_the_trainer(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setattr(
        Curve, "predict_step", lambda self, batch, batch_idx: self.network(batch[0])
    )
    unlearn(run)
    before = contents()
    predict.main(["curve"])
    assert capsys.readouterr().out.splitlines() == [
        "Points has no predict_dataloader: predict_step gets batches of its test_dataloader",
        "lightning_logs/curve/checkpoints/best.ckpt",
        "predictions: predictions.pt",
    ]
    predictions = torch.load("predictions.pt")
    module = Curve.load_from_checkpoint(run.best_checkpoint).eval()
    batches = list(Points().test_dataloader())
    with torch.inference_mode():
        expected = [module.network(batch[0]) for batch in batches]
    assert len(predictions) == len(batches) == 4
    assert torch.equal(torch.cat(predictions), torch.cat(expected))
    predict.main([str(run.last_checkpoint), "--json", "--output", "last.pt"])
    assert measured(capsys) == {"predictions": "last.pt"}
    assert not torch.cat(torch.load("last.pt")).any()
    for output in ("predictions.pt", "nosuch/predictions.pt"):
        with pytest.raises(UserError, match="must be a new file in a folder that exists"):
            predict.main(["curve", "--output", output])
    for output in ("predictions.csv", "predictions"):
        with pytest.raises(UserError, match=f"^--output {output} must end in .pt: torch.save"):
            predict.main(["curve", "--output", output])
    assert contents().keys() - before.keys() == {Path("predictions.pt"), Path("last.pt")}
    assert contents().items() >= before.items()


def test_predictions_of_a_test_set_that_only_the_test_makes(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Late(Points):
        def setup(self, stage: str) -> None:
            if stage == "test":
                self.made = super().test_dataloader()

        def test_dataloader(self) -> Any:
            return self.made

    monkeypatch.setattr(Curve, "predict_step", lambda self, batch, batch_idx: batch[1])
    monkeypatch.setattr(f"{__name__}.Noisier", Late)
    predict.main(["curve", "--data", f"{__name__}.Noisier"])
    expected = torch.cat([batch[1] for batch in Points().test_dataloader()])
    assert torch.equal(torch.cat(torch.load("predictions.pt")), expected)


def test_module_with_loaders_of_its_own_is_measured(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    for name in ("train", "val", "test"):
        loader = f"{name}_dataloader"
        made = getattr(Points(), loader)
        monkeypatch.setattr(Curve, loader, lambda self, made=made: made())
    options = options_of("regression", epochs=1)
    place = options.index("--data")
    fit.main([*options[:place], *options[place + 2 :], "--name", "alone"])
    capsys.readouterr()
    test.main(["alone", "--json"])
    assert measured(capsys).items() <= RunDirectory("alone").read_result().final.items()
    monkeypatch.setattr(Curve, "predict_step", lambda self, batch, batch_idx: batch[1])
    predict.main(["alone"])
    assert "Curve has no predict_dataloader: predict_step gets" in capsys.readouterr().out
    expected = torch.cat([batch[1] for batch in Points().test_dataloader()])
    assert torch.equal(torch.cat(torch.load("predictions.pt")), expected)


def test_image_run_has_the_metrics_of_its_summary_by_each_command(
    workspace: Path, capsys: Captured
) -> None:
    run = quick_run("--trainer.limit_val_batches", "1.0", "--trainer.limit_test_batches", "1.0")
    final = run.read_result().final
    capsys.readouterr()
    for command in (test, validate):
        command.main(["run", "--json"])
        measures = measured(capsys)
        assert measures == {name: final[name] for name in ("test/loss", "test/acc")}
    report = RunDirectory("run").report
    evaluate.main([str(run.last_checkpoint), "--json"])
    measures = measured(capsys)
    assert measures["test/acc"] == final["test/acc"]
    assert measures["test/loss"] == pytest.approx(final["test/loss"], rel=1e-5)
    assert [row["class"] for row in measures["classes"]] == list("0123456789")
    assert sum(map(sum, measures["confusion"])) == 10_000
    assert not report.exists()
    predict.main(["run"])
    predictions = torch.load("predictions.pt")
    assert torch.cat(predictions).shape == (10_000, 10)


def test_module_that_is_compiled_only_to_train_is_measured(
    workspace: Path, capsys: Captured
) -> None:
    fit.main(["--config", as_yaml(COMPOSED), "--epochs", "1", "--name", "run"])
    capsys.readouterr()
    validate.main(["run", "--json"])
    final = RunDirectory("run").read_result().final
    assert measured(capsys)["val/rmse"] == pytest.approx(final["val/rmse"])


@pytest.mark.filterwarnings("ignore:You passed in a `val_dataloader`")
def test_object_in_a_checkpoint_is_read_only_if_it_is_trusted(
    workspace: Path, capsys: Captured
) -> None:
    data = ["--data", f"{HERE}.regression.Points", "--epochs", "3"]
    trusting = ["--weights_only", "false"]
    fit.main(["--model", f"{HERE}.unjudged.Keeping", *data, *trusting, "--name", "run"])
    with pytest.raises(UserError, match=r"it holds .* objects.*; --weights_only false trusts"):
        validate.main(["run"])
    capsys.readouterr()
    validate.main(["run", "--json", *trusting])
    assert measured(capsys)["val_loss"] == RunDirectory("run").read_result().score


@pytest.mark.slow
def test_nothing_but_json_is_on_standard_output_and_a_script_gets_it(run: RunDirectory) -> None:
    talkative = "print('made')\nfrom tests.any_task.regression import Points as Talking\n"
    Path("talkative.py").write_text(talkative)
    words = ["curve", "--json", "--data", "talkative.Talking"]
    done = run_script("test", *words, cwd=Path())
    assert done.returncode == 0, done.stderr
    final = run.read_result().final
    assert json.loads(done.stdout) == {"test/rmse": final["test/rmse"]}
    assert done.stderr.startswith("test: curve\nmade\n")
    refused = run_script("validate", "nosuch", "--json", cwd=Path())
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("validate.py: nosuch is neither a run")
