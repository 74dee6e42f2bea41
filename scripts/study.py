"""``python scripts/study.py`` runs the study of lab/study."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # lab/ is not installed

from convblocks.console import answer, end
from lab.study import stages

if __name__ == "__main__":
    end(answer(stages.main, str(stages.__doc__)))
