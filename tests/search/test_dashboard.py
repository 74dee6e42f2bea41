"""Optuna's own dashboard, as the documentation starts it, on the journal of a search."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from lightning.fabric.plugins.environments.lightning import find_free_network_port
from selenium.webdriver.common.by import By
from selenium.webdriver.support.expected_conditions import text_to_be_present_in_element
from selenium.webdriver.support.ui import WebDriverWait

from convblocks.runs.directory import LOGS
from tests.handwriting.browser import chromium
from tests.search.made_up import run_next, search

pytestmark = pytest.mark.slow


@pytest.fixture
def address(workspace: Path) -> Iterator[str]:
    """Where a dashboard answers, with a search of eight trials."""
    worker = search()
    for _ in range(8):
        run_next(worker)
    address = f"http://127.0.0.1:{(port := find_free_network_port())}"
    command = [str(Path(sys.executable).parent / "optuna-dashboard"), str(LOGS / "s" / "journal.log")]
    with subprocess.Popen([*command, "--port", str(port)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as server:
        try:
            deadline = time.monotonic() + 120
            while not answers(f"{address}/api/studies"):
                assert time.monotonic() < deadline
                assert server.poll() is None, server.communicate()[0]
                time.sleep(0.2)
            yield address
        finally:
            server.terminate()
            server.communicate(timeout=60)


def answers(address: str) -> bool:
    try:
        with urlopen(address, timeout=10) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def test_a_browser_shows_the_search(address: str, tmp_path: Path) -> None:
    with chromium(tmp_path / "profile") as window:
        window.get(f"{address}/dashboard/studies/0")
        for shown in ("search", "Best Trial", "batch_size"):
            WebDriverWait(window, 120).until(text_to_be_present_in_element((By.TAG_NAME, "body"), shown))
