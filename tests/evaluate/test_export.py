"""Exported files compute the same logits as the checkpoint."""

import json
from pathlib import Path

import pytest
import torch
from onnxruntime import InferenceSession

from convblocks.data.images import ImageSets
from convblocks.errors import UserError
from convblocks.evaluate import export
from convblocks.model.restore import load_network
from convblocks.pictures.source import PictureFolder
from tests.data.pictures import SHAPES
from tests.scripts import run_script


@pytest.fixture(scope="module")
def exported(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``digits.onnx`` and ``digits.pt2``."""
    folder = tmp_path_factory.mktemp("exported")
    finished = run_script("export", str(trained), "--output", "digits", cwd=folder)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert all(f"{name}: logits within " in finished.stdout for name in ("digits.onnx", "digits.pt2"))
    assert "Both make the same predictions for all 10,000 test images as the checkpoint.\n" in finished.stdout
    return folder


def test_both_files_take_plain_images_of_any_number(exported: Path, trained: Path, digits: ImageSets) -> None:
    session = InferenceSession(exported / "digits.onnx", providers=["CPUExecutionProvider"])
    for count in (1, 3, 1500):
        images = digits.test.images[:count]
        expected = load_network(trained).logits(images)
        (logits,) = session.run(None, {"images": images.numpy()})
        assert torch.from_numpy(logits) == pytest.approx(expected, abs=1e-4)
        assert export.program_logits(exported / "digits.pt2", images) == pytest.approx(expected, abs=1e-4)


def test_a_network_for_colour_images_of_another_shape(trained_on_shapes: Path, shapes: Path, workspace: Path) -> None:
    export.main([str(trained_on_shapes), "--output", "shapes", "--data.root", str(shapes)])
    session = InferenceSession("shapes.onnx", providers=["CPUExecutionProvider"])
    images = PictureFolder(shapes).load().test.images[:3]
    expected = load_network(trained_on_shapes).logits(images)
    assert session.get_inputs()[0].shape[1:] == [3, 32, 40]
    assert export.onnx_logits(Path("shapes.onnx"), images) == pytest.approx(expected, abs=1e-4)
    assert export.program_logits(Path("shapes.pt2"), images) == pytest.approx(expected, abs=1e-4)
    assert json.loads(session.get_modelmeta().custom_metadata_map["classes"]) == sorted(SHAPES)


@pytest.mark.parametrize("error", [2e-4, 10.0, float("nan")])
def test_a_wrong_export_is_an_error(error: float) -> None:
    logits = torch.eye(10)
    with pytest.raises(AssertionError, match="not close"):
        export.check(Path("wrong.onnx"), logits + error * torch.eye(10).roll(1, 0), logits)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "find_spec", lambda name: None if name == "onnxruntime" else object())
    with pytest.raises(UserError, match="onnxruntime not found: pip install onnxruntime"):
        export.main(["last.ckpt"])
