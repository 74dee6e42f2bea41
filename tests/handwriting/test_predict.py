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
from convblocks.handwriting.predict import CELL, GAP
from convblocks.model.restore import load_network
from convblocks.pictures.source import PictureFolder, list_pictures
from tests.data.pictures import SHAPES
from tests.scripts import run_script


def test_predict_recognises_a_folder_and_lists_its_bad_pictures(
    trained: Path, workspace: Path, digits: ImageSets
) -> None:
    photos = workspace / "photos"
    photos.mkdir()
    for name, index in (("seven.png", 0), ("two.jpg", 1)):
        Image.fromarray(255 - digits.test.images[index, 0].numpy()).resize((300, 300)).save(
            photos / name
        )
    Image.new("L", (50, 50), 255).save(photos / "blank.png")
    (photos / "broken.jpeg").write_bytes(b"\xff\xd8\xff\xe0")
    (photos / "notes.txt").touch()
    (workspace / "empty").mkdir()
    finished = run_script(
        "predict", str(trained), str(photos), "empty", "--show", "seen.png", cwd=workspace
    )
    assert finished.returncode == 1
    rows = [line.split()[:2] for line in finished.stdout.splitlines() if "photos/" in line]
    assert rows == [["photos/seven.png", "7"], ["photos/two.jpg", "2"]]
    assert finished.stderr.splitlines() == [
        "photos/blank.png: it is blank",
        "photos/broken.jpeg: it is not a picture of a known format",
        "empty: it cannot be read (Is a directory)",
        "predict.py: 3 of 5 pictures could not be recognised",
    ]
    with Image.open("seen.png") as sheet:
        assert sheet.width > sheet.height > 28
        below = sheet.convert("L").crop((CELL, CELL, 2 * CELL, sheet.height))
        assert below.getextrema() == (0, 255)  # the answer
        frame, between, next_frame = (
            sheet.getpixel((x, 0)) for x in (0, 2 * CELL + 1, 2 * CELL + GAP)
        )
        assert frame == next_frame != between


def test_predict_has_the_probabilities_of_the_evaluation_for_pictures_of_any_size(
    trained_on_shapes: Path, shapes: Path, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network, paths = load_network(trained_on_shapes), list_pictures(shapes / "test", sorted(SHAPES))
    Image.new("L", (300, 200), 128).save("grey.png")
    predict.main([str(trained_on_shapes), "--json", "grey.png", *(str(path) for path, _ in paths)])
    _, *answers = json.loads(capsys.readouterr().out).items()
    assert [picture for picture, _ in answers] == [str(path) for path, _ in paths]
    rankings = [list(probabilities.values()) for _, probabilities in answers]
    assert all(shares == sorted(shares, reverse=True) for shares in rankings)
    expected = network.probabilities(PictureFolder(shapes).load().test.images)
    shares = torch.tensor(
        [[probabilities[name] for name in sorted(SHAPES)] for _, probabilities in answers]
    )
    assert shares == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["last.ckpt", "7.png", "--shw", "seen.png"],
            "arguments: --shw seen.png: did you mean --show",
        ),
        (["last.ckpt", "7.png"], "^there is no checkpoint last.ckpt"),
        (["--json", "last.ckpt", "7.png"], "^there is no checkpoint last.ckpt"),
        (["last.ckpt", "--json", "7.png"], "^there is no checkpoint last.ckpt"),
        (["last.ckpt"], "^last.ckpt is neither a run"),
        (["last.ckpt", "--json"], "^last.ckpt is neither a run"),
        (["last.ckpt", "--data.root", "shapes", "--output=7.pt"], "^last.ckpt is neither a run"),
        ([], "the following arguments are required: run"),
    ],
)
def test_predict_without_pictures_is_of_a_run(
    words: list[str], message: str, workspace: Path
) -> None:
    with pytest.raises(UserError, match=message):
        predict.main(words)


class Malicious:
    """Makes a folder when unpickled by plain ``pickle``."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("owned",)


def test_checkpoint_of_others_is_refused_and_runs_no_code(workspace: Path) -> None:
    parameters = {"arch": "mlp", "image_spec": MNIST.as_dict()}
    torch.save({"hyper_parameters": parameters, "state_dict": {}, "more": Malicious()}, "last.ckpt")
    with pytest.raises(UserError, match="holds more than weights and plain values"):
        load_network(Path("last.ckpt"))
    assert not Path("owned").exists()
