"""What a loader loses on a resume is said in a line."""

from functools import partial
from pathlib import Path

import pytest

from convblocks.errors import Stopped
from tests.any_task.kinds import STEPS, Kind, Plain
from tests.any_task.stop import Signal, forget_signal
from tests.core.run.test_resume import by_trainer

pytestmark = [
    pytest.mark.filterwarnings("ignore:'set_vital' is deprecated"),  # by torchdata
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty"),
]


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("stream", ""),
        ("torch", "The training loader has no state_dict: this run can be resumed at the ends of epochs only."),
        ("named", "The training loader has no length, and its batches are more than tensors and plain values: this"),
        ("persistent workers", "The workers of the training loader are persistent: if they draw random numbers, a"),
    ],
)
def test_loader_says_what_it_loses(kind: str, line: str, workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Stopped) as caught:
        by_trainer(Plain, partial(Kind, kind), {}, "run", [Signal(STEPS + 3)])
    forget_signal()
    printed = capsys.readouterr().out
    assert line in printed if line else "resume" not in printed
    assert ("from the end of an epoch" in str(caught.value)) == (kind in ("torch", "named"))
