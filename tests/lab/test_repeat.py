"""Records are repeated by their own options, and any number that differs is named."""

from dataclasses import replace

import pytest

from convblocks.run.result import RunResult
from lab import repeat
from lab.pages.writing import DATA
from lab.results import read_results
from tests.made_up import result

RECORD = result("maxpool", 7, 0.97, (("lr", "1e-2"),))


def test_words_are_the_options_of_the_record() -> None:
    assert repeat.words_of(RECORD) == [
        "--epochs=5",
        "--lr=1e-2",
        "--arch",
        "maxpool",
        "--seed",
        "7",
    ]


def test_times_and_what_a_record_lacks_are_no_differences() -> None:
    epochs = tuple(row | {"seconds": 99.0, "train/lr": 0.01} for row in RECORD.epochs)
    assert not list(repeat.differences(RECORD, replace(RECORD, epochs=epochs)))


def test_difference_in_the_last_digit_is_named() -> None:
    *before, last = RECORD.epochs
    changed = replace(RECORD, epochs=(*before, last | {"train/loss": last["train/loss"] + 1e-9}))
    (difference,) = repeat.differences(RECORD, changed)
    assert difference.startswith(f"train/loss of epoch {len(RECORD.epochs)}: ")
    assert list(repeat.differences(RECORD, replace(RECORD, failed=True))) == [
        "failed: True, recorded False"
    ]


def test_draw_takes_the_files_in_turn_and_no_run_twice() -> None:
    files = {"many": [result("mlp", seed, 0.9) for seed in range(9)], "one": [RECORD]}
    drawn = repeat.draw(files, seed=1, count=4)
    assert sorted(name for name, _ in drawn) == ["many", "many", "many", "one"]
    assert {name for name, _ in drawn[:2]} == set(files)
    assert len({(name, run.seed) for name, run in drawn}) == 4
    assert repeat.draw(files, seed=1, count=4) == drawn


def test_fact_that_differs_is_named() -> None:
    changed = replace(RECORD, facts=RECORD.facts | {"chance": 0.2})
    (difference,) = repeat.differences(RECORD, changed)
    assert difference.startswith("fact chance: 0.2, ")


def test_words_of_a_diagnosis_may_change() -> None:
    record, changed = (
        replace(RECORD, facts=RECORD.facts | {"diagnosis": {"sentence": layer}})
        for layer in ("98 % of relu2's units are dead.", "98 % of block 2's units are dead.")
    )
    assert not list(repeat.differences(record, changed))


def test_record_is_named_before_it_is_repeated(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = []

    def repeated(record: RunResult) -> RunResult:
        said.append(capsys.readouterr().out)
        return record

    monkeypatch.setattr(repeat, "repeat", repeated)
    repeat.main(["--of", "why"])
    assert [line[:5] for line in said] == ["why: "]
    assert capsys.readouterr().out.endswith("recorded values are the same\n")


@pytest.mark.slow
def test_record_of_this_kind_of_processor_is_repeated() -> None:
    """On another kind of processor the run is trained too, but may differ."""
    record = read_results(DATA / "interventions.jsonl")[0]
    run = repeat.repeat(record)
    assert (run.arch, run.seed, run.overrides) == (record.arch, record.seed, ())
    if run.provenance.machine == record.provenance.machine:
        assert not list(repeat.differences(record, run))
