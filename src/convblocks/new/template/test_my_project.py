"""Checks of the project in half a minute: ``python -m pytest``."""

import json
import subprocess
import sys
from pathlib import Path

FIT = [sys.executable, "-m", "convblocks", "fit", "--config", "config.yaml"]


def test_a_short_run_is_much_better_than_chance(tmp_path: Path) -> None:
    short = ["--epochs", "2", "--name", "short", "--trainer.default_root_dir", str(tmp_path)]
    subprocess.run([*FIT, *short], check=True)
    result = json.loads((tmp_path / "lightning_logs/short/summary.json").read_text())
    assert result["final"]["test/acc"] > 0.7


def test_a_run_that_is_stopped_resumes_with_the_same_bits() -> None:
    subprocess.run([*FIT, "--check_resume"], check=True)
