"""The page docs/play, on which one watches a network die: its numbers, and the file
that is made of them.

`python -m lab.train play` trains the runs and writes docs/data/play.json; `python -m
lab.pages` makes docs/play of it, of the demo's page, and of what lab/pages/lesson/ puts
around it.
"""

import base64
import re
import zlib
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from convblocks.data.images import MNIST, ImageSets, LabelledImages
from convblocks.data.mnist import DEFAULT_ROOT, MNISTFiles
from convblocks.demo.layout import layout_of
from convblocks.demo.server import PAGE
from convblocks.diagnosis.dead_units import watch_relus
from convblocks.model.networks import build_network, evaluating
from convblocks.record.directory import RunDirectory
from convblocks.text import as_json
from exact_resume.files import write
from lab.pages.provenance import Origin, manifest
from lab.pages.writing import REPOSITORY, output_folder, read_raw_numbers
from lab.snapshots import FILE, STEPS

RATES = ("1e-4", "3e-4", "1e-3", "3e-3", "1e-2", "3e-2")

# At the notebook's rate the first collapses; the second has 63 dead units of 64 and
# learns all the same.
SEED = 4003
SECOND_SEED = 4004

LESSON = REPOSITORY / "lab" / "pages" / "lesson"

# What the demo's page and this one have in common.
SHARED = re.compile(r"<!-- shared: begin -->\n(.*?) *<!-- shared: end -->", re.DOTALL)

# A file that a page loads.
STYLE = re.compile(r' *<link rel="stylesheet" href="(.*?)">')
SCRIPT = re.compile(r' *<script src="(.*?)"></script>')

MADE = (
    "<!-- Made by lab/pages/play.py of src/convblocks/demo/page, lab/pages/lesson and "
    "docs/data/play.json. -->\n"
)

# In images: what dead units and accuracy are measured on, and what the page trains and
# tests its own network on.
MEASURED = 1000
TRAINED = 2000
TESTED = 500

# Pixels and maps have so many shades.
SHADES = 16

# Weights are bytes from -127 to 127, each row of a matrix with a factor of its own.
HIGHEST = 127

# Batches whose losses are averaged to a point of the curve, and those before, each of which is one.
SMOOTHED = 8
SINGLE = 10


class Watched(NamedTuple):
    """A run of the page: one watches it learn, and draws digits for it."""

    arch: str
    lr: str
    seed: int

    @property
    def directory(self) -> RunDirectory:
        return RunDirectory(f"play/{self.arch}-{self.lr}-{self.seed}")

    @property
    def options(self) -> str:
        """Those of scripts/fit.py."""
        return (
            f"--arch {self.arch} --lr {self.lr} --seed {self.seed} "
            "--epochs 1 --threads 1 --trainer.callbacks "
            "lab.snapshots.Snapshots"
        )


WATCHED = [
    *(Watched(arch, lr, SEED) for arch in ("maxpool", "batchnorm") for lr in RATES),
    *(Watched("maxpool", lr, SECOND_SEED) for lr in ("1e-2", "3e-2")),
]


def write_numbers(data: Path, origins: Sequence[Origin]) -> None:
    """Write what the page shows of the finished runs, and where these come from."""
    images = MNISTFiles(DEFAULT_ROOT).load()
    numbers = {
        "origins": manifest(origins),
        "steps": STEPS,
        "runs": [_run(run, images) for run in WATCHED],
        "sample": _pixels(images.test.images[:1]),
        "train": _digits(images.train, TRAINED),
        "test": _digits(images.test, TESTED),
    }
    write(data / "play.json", as_json(numbers, indent=1) + "\n")


def write_page(data: Path, out: Path) -> None:
    """Write docs/play/index.html: one file, since a page that lies on a disk is easily
    sent and may load no modules.
    """
    numbers = read_numbers(data)
    del numbers["origins"]
    for run in numbers["runs"]:
        run["layers"] = layout_of(build_network(run["arch"]), MNIST)
    # The lesson's win.
    files = [*PAGE.iterdir(), *LESSON.iterdir()]
    texts = {path.name: path.read_text() for path in files}
    texts["data.js"] = f"const DATA = {as_json(numbers, indent=None)};\n"
    (shared,) = SHARED.findall((PAGE / "index.html").read_text())
    page = texts["index.html"].replace("    <!-- shared -->\n", shared)
    page = STYLE.sub(lambda found: f"<style>\n{texts[found[1]]}</style>", page)
    page = SCRIPT.sub(lambda found: f"<script>\n{texts[found[1]]}</script>", page)
    page = page.replace("<head>\n", f"<head>\n{MADE}")
    write(output_folder(out / "docs" / "play") / "index.html", page)


def read_numbers(data: Path) -> dict[str, Any]:
    """What docs/data/play.json holds. Raises what ``read_raw_numbers`` raises."""
    return read_raw_numbers(data, "play", dict[str, Any])


def pack_weights(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """A network's floats by their names, a byte for each weight: float32 would make the
    page four times as large.
    """
    floats = {name: values for name, values in weights.items() if values.is_floating_point()}
    vectors = []
    matrices = []
    for values in floats.values():
        if values.ndim == 1:
            vectors.append(values)
        else:
            rows = values.flatten(1)
            factors = rows.abs().amax(dim=1).clamp(min=1e-12) / HIGHEST
            vectors.append(factors)
            matrices.append((rows / factors[:, None]).round().to(torch.int8).flatten())
    return {
        "tensors": [[name, list(values.shape)] for name, values in floats.items()],
        "vectors": packed(torch.cat(vectors).numpy().tobytes()),
        "matrices": packed(torch.cat(matrices).numpy().tobytes()),
    }


def packed(content: bytes) -> str:
    """Bytes as text, which browsers unpack by themselves."""
    return base64.b64encode(zlib.compress(content, 9)).decode()


def unpacked(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text))


def _run(run: Watched, images: ImageSets) -> dict[str, Any]:
    kept = torch.load(run.directory.path / FILE, weights_only=True)
    network = build_network(run.arch)
    test = images.test[torch.arange(MEASURED)]
    dead = []
    accuracies = []
    answers = []
    maps = []
    for weights in kept["weights"]:
        network.load_state_dict(weights)
        units, logits = measured(network, test.images)
        dead.append(units)
        answers.append(int(logits[0].argmax()))
        right = logits.argmax(dim=1) == test.labels
        accuracies.append(round(float(right.float().mean()), 3))
        maps.append(_maps(network, test.images[:1]))
    return {
        "arch": run.arch,
        "lr": run.lr,
        "seed": run.seed,
        "dead": dead,
        "accuracies": accuracies,
        "answers": answers,
        "losses": curve_of(kept["losses"]),
        "weights": pack_weights(kept["weights"][-1]),
        "maps": packed(torch.stack(maps).numpy().tobytes()),
    }


def curve_of(losses: Sequence[float]) -> list[tuple[int, float]]:
    """The loss of a run: the last batch of each point, and the mean of its batches."""
    ends = [*range(1, SINGLE), *range(SINGLE, len(losses) + 1, SMOOTHED)]
    return [
        (end, round(sum(losses[start:end]) / (end - start), 3))
        for start, end in pairwise([0, *ends])
    ]


def measured(network: nn.Module, images: Tensor) -> tuple[list[str], Tensor]:
    """For each ReLU a 1 for every dead unit and a 0 for any other; and the logits of
    images (N, 1, 28, 28) uint8.
    """
    found: dict[str, str] = {}

    def note(name: str, units: Tensor) -> None:
        highest = units.flatten(1).amax(dim=1).tolist()
        found[name] = "".join("0" if active else "1" for active in highest)

    with evaluating(network), torch.no_grad(), watch_relus(network, note):
        logits = network(MNIST.normalize(images))
    return list(found.values()), logits


def _maps(network: Any, image: Tensor) -> Tensor:
    """What block 2 passes on of an image (1, 1, 28, 28), before batch normalisation:
    (64, 7, 7) uint8 shades.
    """
    first, second, _ = network.blocks
    with evaluating(network), torch.no_grad():
        maps = first(MNIST.normalize(image))
        for layer in second:
            maps = maps if isinstance(layer, nn.BatchNorm2d) else layer(maps)
    return _shades(maps[0] / maps.max().clamp(min=1e-12))


def _digits(digits: LabelledImages, count: int) -> dict[str, str]:
    """The first digits: their labels, and their pixels in few shades."""
    return {
        "labels": "".join(map(str, digits.labels[:count].tolist())),
        "pixels": _pixels(digits.images[:count]),
    }


def _pixels(images: Tensor) -> str:
    return packed(_shades(images / 255).numpy().tobytes())


def _shades(values: Tensor) -> Tensor:
    """Values from 0 to 1 as 0..15."""
    return ((SHADES - 1) * values).round().to(torch.uint8).contiguous()
