"""CONTRIBUTING's recipe for a network, followed in a copy of the repository: with four files by
hand, a LeNet is a network like the others.
"""

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY
from tests.demo.browser import chromium
from tests.demo.pages import Page
from tests.scripts import run_fresh
from tests.test_wings import QUICK

pytestmark = pytest.mark.slow

NETWORKS = Path("src/convblocks/model/networks.py")
RECORDS = Path("src/convblocks/model/names.py")
OWN_TEST = Path("tests/core/model/test_lenet.py")
CHANGELOG = Path("CHANGELOG.md")

CLASS = '''
class LeNet(nn.Module):
    """Two 5x5 convolutions with average pooling, and three linear layers, with tanh: 61,706
    parameters on MNIST.

    Input (B, 1, 28, 28), output logits (B, 10).
    """

    def __init__(self, image_spec: ImageSpec = MNIST) -> None:
        super().__init__()
        channels, height, width = image_spec.shape
        high, wide = (((length // 2) - 4) // 2 for length in (height, width))
        self.features = nn.Sequential(
            nn.Conv2d(channels, 6, kernel_size=5, padding="same"),
            nn.Tanh(),
            nn.AvgPool2d(2),  # (B, 6, 14, 14)
            nn.Conv2d(6, 16, kernel_size=5),
            nn.Tanh(),
            nn.AvgPool2d(2),  # (B, 16, 5, 5)
        )
        self.head = nn.Sequential(
            nn.Flatten(),  # (B, 400)
            nn.Linear(16 * high * wide, 120),
            nn.Tanh(),
            nn.Linear(120, 84),
            nn.Tanh(),
            nn.Linear(84, len(image_spec.classes)),
        )

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(images))
        return logits


'''

RECORD = """        NetworkRecord(
            name="lenet",
            class_path="convblocks.model.networks.LeNet",
            title="LeNet",
            style=3,
            layer="layer",
        ),
"""

TEST = '''"""The LeNet has the layers of LeCun's, as they are drawn today."""

from convblocks import LeNet
from convblocks.model.networks import parameters_of


def test_lenet_has_its_parameters() -> None:
    assert parameters_of(LeNet()) == 61_706
'''

CHANGE = "- **LeNet.** `--arch lenet` is a fourth network.\n"

# What the demo's page computes, layer by layer.
LAYERS = [
    *["conv", "tanh", "average"],
    *["conv", "tanh", "average"],
    *["flatten", "linear", "tanh", "linear", "tanh", "linear"],
]


def tracked_files() -> list[Path]:
    """The files of the repository, relative to it."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    files = map(Path, filter(None, listed.stdout.split("\0")))
    return [file for file in files if (REPOSITORY / file).is_file()]


def insert_before(path: Path, place: str, text: str) -> None:
    content = path.read_text()
    assert content.count(place) == 1
    path.write_text(content.replace(place, f"{text}{place}"))


def changed_files(copy: Path) -> set[Path]:
    """The files of a copy that the repository lacks, or has with another content."""
    files = {path.relative_to(copy) for path in copy.rglob("*") if path.is_file()}
    originals = {*tracked_files()}
    assert originals <= files
    return {
        file
        for file in files
        if file not in originals or (copy / file).read_bytes() != (REPOSITORY / file).read_bytes()
    }


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository with a LeNet, of which four files were written by hand."""
    copy = tmp_path_factory.mktemp("recipe") / "copy"
    for file in tracked_files():
        (copy / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(REPOSITORY / file, copy / file)
    insert_before(copy / NETWORKS, "def _class_of(", CLASS.lstrip())
    insert_before(copy / RECORDS, "    )\n}\n\n# The networks of the course", RECORD)
    (copy / OWN_TEST).write_text(TEST)
    insert_before(copy / CHANGELOG, "- **Networks.**", CHANGE)
    assert changed_files(copy) == {NETWORKS, RECORDS, OWN_TEST, CHANGELOG}
    return copy


def run(copy: Path, *words: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder, by default the copy, with the copy's packages."""
    path = os.pathsep.join([str(copy / "src"), str(copy)])
    return run_fresh(words, folder or copy, {"PYTHONPATH": path}, timeout=600)


def script(copy: Path, name: str, *words: str) -> str:
    """The output of a script of the copy, beside it, which must succeed."""
    done = run(copy, str(copy / "scripts" / f"{name}.py"), *words, folder=copy.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def trained(copy: Path) -> Path:
    """The run of a LeNet, which was resumed after its first epoch."""
    script(copy, "fit", "--arch", "lenet", *QUICK, "--name", "lenet")
    resumed = script(copy, "fit", "--name", "lenet", "--resume", "--epochs", "2")
    assert "test accuracy" in resumed
    run_directory = copy.parent / "lightning_logs" / "lenet"
    summary = json.loads((run_directory / "summary.json").read_text())
    assert (summary["arch"], summary["parameters"], len(summary["epochs"])) == ("lenet", 61_706, 2)
    return run_directory


def test_network_is_listed_suggested_and_summarised(copy: Path) -> None:
    assert "--arch {mlp,maxpool,batchnorm,lenet,module.Network}" in script(copy, "fit", "--help")
    refused = run(copy, "scripts/fit.py", "--arch", "lenett", folder=copy)
    message = "fit.py: unknown architecture 'lenett': did you mean lenet?\n"
    assert (refused.returncode, refused.stderr) == (2, message)
    _, table = script(copy, "summary").split("\nlenet\n")
    assert re.search(r"Total params: +61,706", table)


def test_network_is_compared_when_it_is_named_and_is_not_among_the_courses(copy: Path) -> None:
    figure = copy.parent / "figure.svg"
    words = ["--arch", "lenet", "mlp", "--seeds", "2", "--jobs", "1", *QUICK]
    printed = script(copy, "compare", *words, "--figure", str(figure))
    assert "LeNet" in printed
    assert "LeNet" in figure.read_text()
    planned = "from convblocks.compare.options import parse; print(parse([]).archs)"
    assert run(copy, "-c", planned).stdout == "['mlp', 'maxpool', 'batchnorm']\n"


def test_network_is_exported(copy: Path, trained: Path) -> None:
    script(copy, "export", str(trained), "--output", "lenet")
    assert (copy.parent / "lenet.onnx").stat().st_size > 100_000


@contextmanager
def demo(copy: Path, trained: Path) -> Iterator[int]:
    """The port of the copy's demo."""
    checkpoint = trained / "checkpoints" / "last.ckpt"
    command = [sys.executable, str(copy / "scripts/demo.py"), str(checkpoint), "--port", "0"]
    path = {"PYTHONPATH": str(copy / "src")}
    with subprocess.Popen(
        command, cwd=copy.parent, env=os.environ | path, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if found := re.match(r"Draw at http://127\.0\.0\.1:(\d+)/", line):
                yield int(found[1])
                break
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130


def test_demos_server_sends_the_layers_of_the_network(copy: Path, trained: Path) -> None:
    with demo(copy, trained) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/setup")
        setup: Any = json.loads(connection.getresponse().read())
        connection.close()
    (network,) = setup["networks"]
    assert (network["arch"], network["colour"]) == ("lenet", 3)
    assert [layer["kind"] for layer in network["layers"]] == LAYERS
    assert len(network["weights"]["features.0.weight"]) == 6 * 25


def test_demos_page_computes_the_network_as_the_server_does(
    copy: Path, trained: Path, tmp_path: Path
) -> None:
    with chromium(tmp_path) as window, demo(copy, trained) as port:
        page = Page(window)
        page.visit(f"http://127.0.0.1:{port}/")
        page.press("7")
        captions = [caption.partition(":")[0] for caption in page.texts("#stages figcaption")]
        assert captions == LAYERS[:6]
        assert page.complaints() == []
        own, servers = window.execute_async_script("""
            const done = arguments[0], inside = app.source.setup.networks[0].inside;
            app.pad.picture().then((picture) => ask("/answer", picture)).then((answer) => {
                done([inside.look(answer.pixels).shares, answer.networks[0]]);
            });
        """)
        assert own == pytest.approx(servers, abs=1e-4)


def test_tests_that_the_recipe_names_pass(copy: Path) -> None:
    """The line of CONTRIBUTING.md, in one process."""
    recipe = (copy / "CONTRIBUTING.md").read_text().partition("- **A network**")[2]
    named = re.search(r"`python -m pytest (tests/[^`]*)`", recipe)
    assert named
    assert OWN_TEST.parent.as_posix() in named[1]
    words = ["-q", "-n", "0", "-p", "no:cacheprovider", *named[1].split()]
    done = run(copy, "-m", "pytest", *words)
    assert done.returncode == 0, done.stdout[-5000:]
