"""A browser for each test file, and servers of the page."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from torch import nn

from convblocks.demo.server import Server
from convblocks.model.restore import TrainedNetwork, load_network
from tests.demo.browser import chromium
from tests.demo.pages import COUNT_SHIFTS, Page, changed, serving


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with chromium(tmp_path_factory.mktemp("profile")) as window:
        window.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": COUNT_SHIFTS})
        yield Page(window)


@pytest.fixture(scope="module")
def plain() -> Iterator[Server]:
    """Serves an untrained network without ReLU."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(784, 10)).eval()
    with serving(TrainedNetwork(Path("own.ckpt"), "mynets.Plain", network)) as server:
        yield server


@pytest.fixture(scope="module")
def quarrel(trained: Path) -> Iterator[Server]:
    """Serves a network beside a copy that predicts the next digit and has five dead channels."""
    network = load_network(trained)
    with serving(network, changed(network, turn=1, dead=5)) as server:
        yield server
