"""Predictions for picture files: table, JSON and sheet; and checkpoints that are refused."""

import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFont

from convblocks.data.folder import PictureFolder, list_pictures
from convblocks.data.images import MNIST, ImageSets
from convblocks.errors import UsageError, UserError
from convblocks.evaluation.trained import load_network
from convblocks.handwriting import predict
from tests.data.pictures import SHAPES
from tests.scripts import run_script

SEVEN, TWO = 0, 1  # their indices in the test set

MLP = {"arch": "mlp", "image_spec": MNIST.as_dict()}


@pytest.fixture
def photos(workspace: Path, digits: ImageSets) -> Path:
    """A folder with two digits, a blank picture, a broken one, and another file."""
    folder = workspace / "photos"
    folder.mkdir()
    for name, index in (("seven.png", SEVEN), ("two.jpg", TWO)):
        grey = Image.fromarray(255 - digits.test.images[index, 0].numpy())
        grey.resize((300, 300), Image.Resampling.BICUBIC).save(folder / name)
    Image.new("L", (50, 50), 255).save(folder / "blank.png")
    (folder / "broken.jpeg").write_bytes(b"\xff\xd8\xff\xe0")
    (folder / "notes.txt").write_text("not a picture")
    return folder


@pytest.mark.slow
def test_a_folder_is_recognised_and_its_bad_pictures_are_listed(trained: Path, photos: Path) -> None:
    finished = run_script("predict", str(trained), "photos", "--show", "seen.png", cwd=photos.parent)
    assert finished.returncode == 1
    assert [line.split()[1:4:2] for line in finished.stdout.splitlines() if "photos/" in line] == [
        ["photos/seven.png", "7"],
        ["photos/two.jpg", "2"],
    ]
    assert finished.stderr.splitlines() == [
        "photos/blank.png: it is blank",
        "photos/broken.jpeg: it is not a picture of a known format",
        "predict.py: 2 of 4 pictures could not be recognised",
    ]
    with Image.open(photos.parent / "seen.png") as sheet:
        assert sheet.width > sheet.height > 28


def test_json_holds_all_probabilities(trained: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    predict.main([str(trained), "--json", str(photos / "two.jpg")])
    answer = json.loads(capsys.readouterr().out)
    (picture,) = answer["pictures"]
    assert (answer["arch"], picture["class"], answer["problems"]) == ("batchnorm", "2", {})
    assert len(picture["probabilities"]) == 10
    assert sum(picture["probabilities"]) == pytest.approx(1, abs=1e-5)
    assert (
        picture["probabilities"][answer["classes"].index(picture["runner_up"])] == sorted(picture["probabilities"])[-2]
    )


def test_the_table_names_the_classes(
    trained_on_shapes: Path, shapes: Path, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(shapes / "test" / "stripes" / "11.png", workspace)
    predict.main([str(trained_on_shapes), "11.png"])
    head, row = (line.split() for line in capsys.readouterr().out.splitlines()[1:4:2])
    assert head[1:4:2] == ["picture", "class"]
    assert row[1:4:2] == ["11.png", "stripes"]


def test_json_names_the_classes(
    trained_on_shapes: Path, shapes: Path, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predict.main([str(trained_on_shapes), "--json", str(shapes / "test" / "stripes" / "11.png")])
    answer = json.loads(capsys.readouterr().out)
    assert answer["classes"] == sorted(SHAPES)
    assert answer["pictures"][0]["class"] == "stripes"
    assert answer["pictures"][0]["runner_up"] in SHAPES


def test_a_test_picture_has_the_probabilities_of_the_evaluation(trained_on_shapes: Path, shapes: Path) -> None:
    network = load_network(trained_on_shapes)
    paths = list_pictures(shapes / "test", sorted(SHAPES)).paths
    predictions, _ = predict.recognise(network, paths)
    judged = network.probabilities(PictureFolder(shapes).load().test.images)
    assert torch.tensor([one.probabilities for one in predictions]) == pytest.approx(judged, abs=1e-5)


def test_a_colour_network_takes_grey_pictures_of_any_size(trained_on_shapes: Path, workspace: Path) -> None:
    Image.new("L", (300, 200), 128).save("grey.png")
    predictions, problems = predict.recognise(load_network(trained_on_shapes), [Path("grey.png")])
    assert (predictions[0].seen.shape, problems) == ((3, 32, 40), {})


def test_paths_are_shown_from_the_current_folder_on(
    trained_on_shapes: Path, shapes: Path, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(shapes / "test" / "stripes" / "11.png", workspace)
    (workspace / "notes.png").write_text("no picture")
    with pytest.raises(UserError):
        predict.main([str(trained_on_shapes), str(workspace / "11.png"), str(workspace / "notes.png")])
    output, errors = capsys.readouterr()
    assert str(workspace) not in output
    assert errors == "notes.png: it is not a picture of a known format\n"


@pytest.mark.parametrize(
    ("probability", "shown"),
    [(0, "<0.1 %"), (0.0009, "<0.1 %"), (0.001, "0.1 %"), (0.5, "50.0 %"), (0.999, "99.9 %"), (1, ">99.9 %")],
)
def test_no_probability_is_shown_as_0_or_100_percent(probability: float, shown: str) -> None:
    assert predict.in_percent(probability) == shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: checkpoint, pictures"),
        (["last.ckpt"], "the following arguments are required: pictures"),
        (["last.ckpt", "a.png", "--sho", "b.png"], "unrecognized arguments"),
    ],
)
def test_wrong_usage_is_one_line(arguments: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        predict.main(arguments)


def test_an_empty_folder_is_an_error(trained: Path, workspace: Path) -> None:
    with pytest.raises(UserError, match="no pictures in the folder"):
        predict.main([str(trained), str(workspace)])


@pytest.mark.parametrize("length", [1, 20, 200])
def test_a_long_name_is_cut_to_fit_the_sheet(length: int) -> None:
    path = Path("n" * length + ".png")
    seen = predict.Prediction(path, Image.new("L", (1, 1)), np.zeros((1, 28, 28), np.uint8), ("2", "7"), (0.1, 0.9))
    font = ImageFont.load_default(15)
    caption = predict.caption_of(seen, font, 336)
    assert caption.endswith(": 7 (90.0 %)")
    assert font.getlength(caption) <= 336
    assert caption.startswith("n" * min(length, 20))


@pytest.mark.parametrize(("name", "message"), [("seen", "must end in"), ("missing/seen.png", "cannot write")])
def test_a_sheet_that_cannot_be_written_is_an_error(name: str, message: str, trained: Path, photos: Path) -> None:
    with pytest.raises(UserError, match=message):
        predict.main([str(trained), str(photos / "two.jpg"), "--show", name])


class Malicious:
    """Makes a folder when unpickled by plain ``pickle``."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("owned",)


@pytest.mark.parametrize("where", ["alone", "in a checkpoint"])
def test_a_pickle_with_code_is_refused_and_not_run(where: str, trained: Path, workspace: Path) -> None:
    path = workspace / "evil.ckpt"
    if where == "alone":
        path.write_bytes(pickle.dumps(Malicious()))
    else:
        torch.save(torch.load(trained, weights_only=True) | {"more": Malicious()}, path)
    with pytest.raises(UserError, match="holds more than weights and plain values"):
        load_network(path)
    assert not (workspace / "owned").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"state_dict": {}}, "is not a checkpoint of this project"),
        ([1, 2], "is not a checkpoint of this project"),
        ({"hyper_parameters": None, "state_dict": {}}, "is not a checkpoint of this project"),
        ({"hyper_parameters": {"arch": "mlp"}}, "is not a checkpoint of this project"),
        ({"hyper_parameters": {"arch": "mlp"}, "state_dict": {}}, "is not a checkpoint of this project"),
        ({"hyper_parameters": MLP | {"arch": "resnet"}, "state_dict": {}}, "holds a network 'resnet'"),
        ({"hyper_parameters": MLP | {"arch": ["mlp"]}, "state_dict": {}}, "holds a network"),
        ({"hyper_parameters": MLP, "state_dict": {}}, "does not hold the weights of the network mlp"),
        ({"hyper_parameters": MLP, "state_dict": {"network.layers.1.weight": 3}}, "holds more than named tensors"),
    ],
)
def test_other_files_are_refused(content: object, message: str, workspace: Path) -> None:
    torch.save(content, workspace / "other.ckpt")
    with pytest.raises(UserError, match=message):
        load_network(workspace / "other.ckpt")


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04", pickle.dumps([1])])
def test_damaged_checkpoints_are_refused(content: bytes, workspace: Path) -> None:
    (workspace / "damaged.ckpt").write_bytes(content)
    with pytest.raises(UserError, match=r"damaged\.ckpt"):
        load_network(workspace / "damaged.ckpt")


def test_a_missing_checkpoint_is_an_error(workspace: Path) -> None:
    with pytest.raises(UserError, match=r"there is no checkpoint missing\.ckpt"):
        load_network(Path("missing.ckpt"))
