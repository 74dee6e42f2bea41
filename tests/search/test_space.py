"""What may be searched, as it is typed or stands in a file."""

import re
from pathlib import Path

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from convblocks.errors import UsageError
from convblocks.search import command as search
from convblocks.search import space
from tests.conftest import REPOSITORY


def test_ranges_and_values() -> None:
    found = space.parse(["lr=1e-4..3e-2:log,batch_size=32|64,data.scale=0.0..0.2,trainer.accumulate_grad_batches=1..4"])
    assert found == {
        "lr": FloatDistribution(1e-4, 3e-2, log=True),
        "batch_size": CategoricalDistribution(["32", "64"]),
        "data.scale": FloatDistribution(0.0, 0.2),
        "trainer.accumulate_grad_batches": IntDistribution(1, 4),
    }


def test_several_texts_are_one_space_and_dashes_may_stand_there() -> None:
    assert space.parse(["--lr=1..2", "batch_size=3..4"]) == space.parse(["lr=1..2,batch_size=3..4"])


def test_the_default_space_leaves_out_what_is_set_for_all_trials() -> None:
    assert space.parse([], ["lr", "threads"]).keys() == space.parse([space.DEFAULT]).keys() - {"lr"}


def test_a_file_holds_the_same_as_a_command_line(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(
        "lr: 1e-4..3e-2:log\nbatch_size: [32, 64]\ndata.scale: 0.0..0.2\ntrainer.gradient_clip_val: 1|2\n"
        "clip: [null, 1.0]\noptimizer.betas: [[0.9, 0.99], [0.8, 0.9]]\nbias: [true, false]\n"
    )
    found = space.parse([str(path)])
    betas = CategoricalDistribution(["[0.9, 0.99]", "[0.8, 0.9]"])  # whose commas a command line cannot have
    assert found.pop("optimizer.betas") == betas
    flags = "lr=1e-4..3e-2:log,batch_size=32|64,data.scale=0.0..0.2,trainer.gradient_clip_val=1|2"
    assert found == space.parse([f"{flags},clip=null|1.0,bias=true|false"])


@pytest.mark.parametrize("text", ["1e-05..0.1:log", "1..8", "-1.0..1.0", "32|64|128"])
def test_a_dimension_is_described_as_it_is_read(text: str) -> None:
    assert space.describe(space.parse([f"lr={text}"])["lr"]) == text


def test_each_end_and_each_value_is_tried_before_the_search_begins() -> None:
    corners = list(space.corners(space.parse(["lr=1e-4..3e-2:log,batch_size=32|64|128"])))
    assert [point["batch_size"] for point in corners] == ["32", "64", "128"]
    assert {point["lr"] for point in corners} == {1e-4, 3e-2}


def test_chosen_values_are_written_with_four_digits() -> None:
    chosen = {"lr": 0.00123456789, "batch_size": "64", "trainer.accumulate_grad_batches": 3}
    expected = (("lr", "0.001235"), ("batch_size", "64"), ("trainer.accumulate_grad_batches", "3"))
    assert space.as_overrides(chosen) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr=3e-2..1e-4", r"--space lr=3e-2\.\.1e-4: .*give a range such as"),
        ("lr=0.0..1:log", "--space lr=0.0..1:log: .*give a range"),
        ("lr=1e-4..", "this is no range; give a range such as"),
        ("lr=low..high", "this is no range"),
        ("lr=1e-4..inf", "this is no range"),
        ("lr=1e-4..1e-2:log2", "this is no range"),
        ("lr=1e-3", "this is no choice; .* different values such as 32|64"),
        ("lr=1e-3|1e-3", "this is no choice"),
        ("lr=", "this is no choice"),
        ("=1..2", "write OPTION=VALUES"),
        ("lr=1..2,batch_size", "--space batch_size: write OPTION=VALUES"),
        ("lr=1..2,lr=1..3", "this option is there twice"),
        ("epochs=1..3", "--space epochs=1..3: this option is the same for all trials"),
        ("arch=mlp|maxpool", "this option is the same for all trials"),
        ("data.val_size=1..3", "this option is the same for all trials"),
        ("trainer.default_root_dir=a|b", "this option is the same for all trials"),
        ("nosuch.yaml", r"--space nosuch\.yaml: No such file or directory"),
    ],
)
def test_other_text_is_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        space.parse([text])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["lr: [1e-3", "[1, 2]", "", "{}", "lr: {low: 1}", "lr: 3"])
def test_a_file_that_holds_no_space_is_refused_in_one_line(content: str, tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(content)
    with pytest.raises(UsageError, match="--space") as caught:
        space.parse([str(path)])
    assert "\n" not in str(caught.value)


def test_the_default_space_and_that_of_the_documentation_are_taken(workspace: Path) -> None:
    assert set(space.parse([])) >= {"lr", "lr_scheduler", "optimizer", "batch_size", "data.shift"}
    shown = re.findall(
        r"^```yaml\n(# space\.yaml.*?)^```", (REPOSITORY / "docs" / "manual" / "use.md").read_text(), re.M | re.S
    )
    (workspace / "space.yaml").write_text(*shown)
    options = search.parse(["--arch", "mlp", "--data.val_size", "500", "--confirm", "0", "--space", "space.yaml"])
    assert set(options.config.space) == {"lr", "lr_scheduler", "data.shift", "trainer.accumulate_grad_batches"}
    options.jobs = 1
    search.open_search(options)
