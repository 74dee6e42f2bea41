"""An exported file computes the same logits as the checkpoint."""

import json
from pathlib import Path

import pytest
import torch
from onnxruntime import InferenceSession

from convblocks import working
from convblocks.data.images import ImageSets
from convblocks.errors import UsageError, UserError
from convblocks.evaluate import export
from convblocks.model.restore import load_network
from convblocks.pictures.source import PictureFolder
from tests.data.pictures import SHAPES


def test_export_takes_plain_images_of_any_number(
    trained: Path,
    workspace: Path,
    digits: ImageSets,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(working, "PATIENCE", 600)  # a busy machine says what takes long
    export.main([str(trained), "--output", "digits"])
    printed = capsys.readouterr().out
    assert printed.startswith("digits.onnx: logits within ")
    assert (
        "It makes the same predictions for all 10,000 test images as the checkpoint.\n" in printed
    )
    session = InferenceSession("digits.onnx", providers=["CPUExecutionProvider"])
    for count in (1, 3, 1500):
        images = digits.test.images[:count]
        (logits,) = session.run(None, {"images": images.numpy()})
        assert torch.from_numpy(logits) == pytest.approx(
            load_network(trained).logits(images), abs=1e-4
        )


def test_export_of_a_network_for_colour_images_has_their_shape_and_classes(
    trained_on_shapes: Path, shapes: Path, workspace: Path
) -> None:
    export.main([str(trained_on_shapes), "--output", "shapes", "--data.root", str(shapes)])
    session = InferenceSession("shapes.onnx", providers=["CPUExecutionProvider"])
    images = PictureFolder(shapes).load().test.images[:3]
    assert session.get_inputs()[0].shape[1:] == [3, 32, 40]
    expected = load_network(trained_on_shapes).logits(images)
    assert export.onnx_logits(Path("shapes.onnx"), images) == pytest.approx(expected, abs=1e-4)
    assert json.loads(session.get_modelmeta().custom_metadata_map["classes"]) == sorted(SHAPES)


@pytest.mark.parametrize("error", [2e-4, 10.0, float("nan")])
def test_export_with_other_logits_is_an_error(error: float) -> None:
    logits = torch.eye(10)
    with pytest.raises(AssertionError, match="not close"):
        export.check(Path("wrong.onnx"), logits + error * torch.eye(10).roll(1, 0), logits)


def test_export_names_a_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        export, "find_spec", lambda name: None if name == "onnxruntime" else object()
    )
    with pytest.raises(UserError, match="onnxruntime not found: pip install onnxruntime"):
        export.main(["last.ckpt"])


@pytest.mark.parametrize(
    ("checkpoint", "output"),
    [("net.onnx", []), ("net.onnx", ["--output", "net"]), ("last.ckpt", ["--output", "."])],
)
def test_export_never_writes_over_its_checkpoint_or_a_hidden_file(
    checkpoint: str, output: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(checkpoint).write_bytes(b"weights")
    with pytest.raises(UsageError, match=r"give another name|give the name of a file"):
        export.main([checkpoint, *output])
    assert [path.name for path in tmp_path.iterdir()] == [checkpoint]
    assert Path(checkpoint).read_bytes() == b"weights"
