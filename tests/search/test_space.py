"""What may be searched, as it is typed."""

from pathlib import Path

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from convblocks.errors import UsageError
from convblocks.search import command as search
from convblocks.search.config import DEFAULT_SPACE, corners, parse_space


def test_space_has_ranges_and_values_and_may_stand_in_several_texts() -> None:
    found = parse_space(
        ["lr=1e-4..3e-2:log,batch_size=32|64", "--data.scale=0.0..0.2, trainer.x=1..4"]
    )
    assert found == {
        "lr": FloatDistribution(1e-4, 3e-2, log=True),
        "batch_size": CategoricalDistribution(["32", "64"]),
        "data.scale": FloatDistribution(0.0, 0.2),
        "trainer.x": IntDistribution(1, 4),
    }


def test_space_by_default_leaves_out_what_is_set_for_all_trials() -> None:
    assert parse_space([], ["lr", "threads"]).keys() == parse_space([DEFAULT_SPACE]).keys() - {"lr"}


@pytest.mark.slow
def test_fit_takes_the_space_by_default(workspace: Path) -> None:
    search.open_search(search.parse(["--arch", "mlp", "--data.val_size", "500", "--jobs", "1"]))


def test_space_has_corners_with_each_end_and_each_value() -> None:
    points = list(corners(parse_space(["lr=1e-4..3e-2:log,batch_size=32|64|128"])))
    assert [point["batch_size"] for point in points] == ["32", "64", "128"]
    assert {point["lr"] for point in points} == {1e-4, 3e-2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr=3e-2..1e-4", r"--space lr=3e-2\.\.1e-4: .*VALUES are a range such as"),
        ("lr=low..high", "could not convert"),
        ("lr=1e-4..1e-2:log2", "a range may end with :log"),
        ("lr=1e-3", "at least two different values are needed; .* different ones such as 32|64"),
        ("space.yaml", "--space space.yaml: .*write OPTION=VALUES"),
        ("epochs=1..3", "--space epochs=1..3: this option is the same for all trials"),
        ("arch=mlp|maxpool", "this option is the same for all trials"),
    ],
)
def test_space_in_other_words_is_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        parse_space([text])
    assert "\n" not in str(caught.value)
