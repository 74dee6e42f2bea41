"""Predictions for picture files: table, JSON and sheet; and checkpoints that are refused."""

import json
import os
from pathlib import Path

import pytest
import torch
from PIL import Image

from convblocks.data.images import MNIST, ImageSets
from convblocks.errors import UserError
from convblocks.handwriting import predict
from convblocks.model.restore import load_network
from convblocks.pictures.source import PictureFolder, list_pictures
from tests.data.pictures import SHAPES
from tests.scripts import run_script

MLP = {"arch": "mlp", "image_spec": MNIST.as_dict()}


def test_a_folder_is_recognised_and_its_bad_pictures_are_listed(
    trained: Path, workspace: Path, digits: ImageSets
) -> None:
    photos = workspace / "photos"
    photos.mkdir()
    for name, index in (("seven.png", 0), ("two.jpg", 1)):
        Image.fromarray(255 - digits.test.images[index, 0].numpy()).resize((300, 300)).save(photos / name)
    Image.new("L", (50, 50), 255).save(photos / "blank.png")
    (photos / "broken.jpeg").write_bytes(b"\xff\xd8\xff\xe0")
    (photos / "notes.txt").touch()
    finished = run_script("predict", str(trained), str(photos), "--show", "seen.png", cwd=workspace)
    assert finished.returncode == 1
    rows = [line.split()[:2] for line in finished.stdout.splitlines() if "photos/" in line]
    assert rows == [["photos/seven.png", "7"], ["photos/two.jpg", "2"]]
    assert finished.stderr.splitlines() == [
        "photos/blank.png: it is blank",
        "photos/broken.jpeg: it is not a picture of a known format",
        "predict.py: 2 of 4 pictures could not be recognised",
    ]
    with Image.open("seen.png") as sheet:
        assert sheet.width > sheet.height > 28


def test_json_holds_all_probabilities_the_highest_first(
    trained_on_shapes: Path, shapes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = shapes / "test" / "stripes" / "11.png"
    predict.main([str(trained_on_shapes), "--json", str(path)])
    (answer,) = json.loads(capsys.readouterr().out)
    assert (answer["picture"], answer["probabilities"].keys()) == (str(path), SHAPES.keys())
    shares = list(answer["probabilities"].values())
    assert sum(shares) == pytest.approx(1, abs=1e-5)
    assert shares == sorted(shares, reverse=True)
    assert next(iter(answer["probabilities"])) == "stripes"


def test_a_picture_has_the_probabilities_of_the_evaluation_and_may_be_grey_and_of_any_size(
    trained_on_shapes: Path, shapes: Path, workspace: Path
) -> None:
    network, paths = load_network(trained_on_shapes), list_pictures(shapes / "test", sorted(SHAPES))
    Image.new("L", (300, 200), 128).save("grey.png")
    (*predictions, grey), problems = predict.recognise(network, [*(path for path, _ in paths), Path("grey.png")])
    judged = network.probabilities(PictureFolder(shapes).load().test.images)
    assert torch.tensor([prediction.probabilities for prediction in predictions]) == pytest.approx(judged, abs=1e-5)
    assert (grey.seen.shape, problems) == ((3, 32, 40), {})


def test_options_are_not_abbreviated() -> None:
    with pytest.raises(UserError, match="unrecognized arguments: --sho"):
        predict.main(["last.ckpt", "a.png", "--sho", "b.png"])


def test_no_probability_is_shown_as_0_or_100_percent() -> None:
    shown = {0: "<0.1 %", 0.0009: "<0.1 %", 0.001: "0.1 %", 0.5: "50.0 %", 0.999: "99.9 %", 1: ">99.9 %"}
    assert {share: predict.in_percent(share) for share in shown} == shown


class Malicious:
    """Makes a folder when unpickled by plain ``pickle``."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("owned",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (MLP | {"more": Malicious()}, "holds more than weights and plain values"),
        ([1, 2], "is not a checkpoint of this version"),
        ({"hyper_parameters": None, "state_dict": {}}, "is not a checkpoint of this version"),
        ({"hyper_parameters": {"arch": "mlp"}, "state_dict": {}}, "is not a checkpoint of this version"),
        ({"hyper_parameters": MLP | {"arch": "resnet"}, "state_dict": {}}, "of the class 'resnet'"),
        ({"hyper_parameters": MLP | {"arch": ["mlp"]}, "state_dict": {}}, "of the class"),
    ],
)
def test_other_checkpoints_are_refused_and_run_no_code(content: object, message: str, workspace: Path) -> None:
    """Beside those of tests/hostile/test_cases.py."""
    torch.save(content, "last.ckpt")
    with pytest.raises(UserError, match=message):
        load_network(Path("last.ckpt"))
    assert not Path("owned").exists()
