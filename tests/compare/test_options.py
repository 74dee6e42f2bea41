"""What may be swept, and how it is written."""

from pathlib import Path

import pytest

from convblocks.compare.options import begin, parse
from convblocks.errors import UsageError
from convblocks.model.names import COURSE
from convblocks.record.result import encode
from tests.made_up import result


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--grid", "fast=true,false"], "fast: runs cannot differ in this option"),
        (
            ["--grid", "trainer.default_root_dir=a,b"],
            "default_root_dir: runs cannot differ in this option",
        ),
        (["--grid", "model.arch=mlp,batchnorm"], "model.arch: this option is set for all"),
        (["--lr", "1", "--grid", "model.lr=1,2"], "model.lr: this option is set for all"),
        (["--grid", "lr=1,2", "--grid", "model.lr=3,4"], "model.lr: this option is set for all"),
        (["--model.arch", "mlp"], "--model.arch is set for every trial"),
        (["--seeds", "99999999999"], "at most 10,000 seeds"),
        (["--seeds", "0-99999999999"], "at most 10,000 seeds"),
    ],
)
def test_option_that_cannot_be_swept_is_refused_under_any_name(
    words: list[str], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        parse(["--arch", "mlp", *words])


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("network.channels=[[16,32],[32,64]]", ["[16,32]", "[32,64]"]),
        ("network.channels=[16,32],[32,64]", ["[16,32]", "[32,64]"]),
        ("network={a: [1, 2]},{a: 3}", ["{a: [1, 2]}", "{a: 3}"]),
        ("lr=1e-3,1e-2", ["1e-3", "1e-2"]),
    ],
)
def test_values_of_a_grid_may_be_lists(text: str, values: list[str]) -> None:
    assert list(parse(["--arch", "mlp", "--grid", text]).grid.values()) == [values]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--grid", "lr=1e-3,0.001"], "different values"),
        (["--seeds", "9000", "--grid", "lr=1,2"], "these are 18,000 trials: at most 10,000"),
        (["--seeds", f"1{'0' * 30}"], "at most 10,000 seeds"),
        (["--figure", "f.jpg"], "--figure f.jpg: its name must end in one of .pdf, .png, .svg"),
        (
            ["--figure", "none/f.pdf"],
            "--figure none/f.pdf: it must be a file in an existing folder",
        ),
        (["--batch_size", "9", "--grid", "lr=1,2", "3"], "--grid 3: give an option of fit and"),
    ],
)
def test_slip_of_the_finger_is_refused(words: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse(["--arch", "mlp", *words])


OURS = "model: {class_path: convblocks.ImageClassifier, init_args: {arch: maxpool}}"
OTHERS = "{model: {class_path: clf.Classifier, init_args: {arch: small}}}"


@pytest.mark.parametrize(
    ("configs", "words", "option", "archs"),
    [
        (["lr: 1"], [], "arch", [*COURSE]),
        (["arch: maxpool"], [], "arch", ["maxpool"]),
        ([OURS], [], "arch", ["maxpool"]),
        ([OTHERS], [], "model", ["clf.Classifier"]),
        (["arch: mlp", OTHERS, "lr: 1"], [], "model", ["clf.Classifier"]),
        ([OTHERS], ["--model", "clf.Other"], "model", ["clf.Other"]),
        ([OURS], ["--arch", "mlp", "batchnorm"], "arch", ["mlp", "batchnorm"]),
    ],
)
def test_network_of_a_config_is_compared_unless_another_is_given(
    configs: list[str], words: list[str], option: str, archs: list[str], workspace: Path
) -> None:
    for number, text in enumerate(configs):
        Path(f"{number}.yaml").write_text(text)
        words = [*words, "--config", f"{number}.yaml"]
    options = parse([*words, "--grid", "lr=1,2"])
    assert (options.option, options.archs) == (option, archs)
    assert f"--{option}={archs[0]}" in options.trials[0].arguments()


def test_first_line_counts_the_trials_and_those_that_are_finished(workspace: Path) -> None:
    words = ["--arch", "mlp", "--grid", "epochs=1,2", "--seeds", "3"]
    done, damaged, *_ = parse(words).trials
    for trial, text in ((done, encode(result("mlp", 0, 0.9))), (damaged, "{")):
        trial.run.create()
        trial.run.summary.write_text(text)
    (line,) = begin("compare", words)
    assert line == "compare: 6 trials (1 finished), epochs ['1', '2'] -> lightning_logs/compare"


def test_single_trial_of_an_array_leaves_the_first_line_to_fit(workspace: Path) -> None:
    assert not begin("compare", ["--trial", "0"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--arch", "mlp", "resnt"], "unknown architecture 'resnt'"),
        (["--epoch", "3"], "unrecognized arguments: --epoch=3: did you mean --epochs"),
        (["--seds", "3"], "unrecognized arguments: --seds=3: did you mean --seeds"),
        (["--seeds", "many"], "argument --seeds: invalid seeds value: 'many'"),
    ],
)
def test_word_that_is_misspelt_is_refused_before_any_trial(
    words: list[str], message: str, workspace: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        begin("compare", words)
