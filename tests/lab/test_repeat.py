"""Records are repeated by their own options, and any number that differs is named."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from convblocks.errors import UserError
from convblocks.record.result import RunResult
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


HERE = "family 25, model 17, AVX512"
OTHER = "family 25, model 1, AVX2"


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What is printed last where a record is of some machine, its repetition of this one,
    and they differ in these fields.
    """

    def last_line(machine: str, processor: str | None, **changed: Any) -> str:
        origin = RECORD.provenance
        there = replace(origin, machine=machine, processor=processor)
        here = replace(origin, machine="4 CPUs (AMD EPYC), Linux, torch 3", processor=HERE)
        run = replace(RECORD, provenance=here, **changed)
        record = replace(RECORD, provenance=there)
        monkeypatch.setattr(repeat, "read_results", lambda path: [record])
        monkeypatch.setattr(repeat, "repeat", lambda record: run)
        repeat.main(["--of", "why"])
        return capsys.readouterr().out.splitlines()[-1]

    return last_line


def test_same_processor_has_all_values_however_many_of_it_there_are(
    said: Callable[..., str],
) -> None:
    count = len(repeat.numbers(RECORD))
    line = said("2 CPUs (AMD EPYC), Linux, torch 3", HERE)
    assert line == f"all {count} recorded values are the same"


def test_difference_on_the_same_processor_is_an_error(said: Callable[..., str]) -> None:
    with pytest.raises(UserError, match="1 of 1 run differ from their records"):
        said("2 CPUs (AMD EPYC), Linux, torch 3", HERE, parameters=1)


@pytest.mark.parametrize(
    ("machine", "processor", "words"),
    [
        (
            "2 CPUs (AMD EPYC), Linux, torch 3",
            OTHER,
            f"another processor (recorded AMD EPYC, {OTHER}; here AMD EPYC, {HERE}): ",
        ),
        (
            "2 CPUs (AMD EPYC), Linux, torch 3",
            None,
            f"perhaps another processor (recorded AMD EPYC; here AMD EPYC, {HERE}): ",
        ),
        (
            "2 CPUs (Intel(R) Xeon(R) Processor), Linux, torch 3",
            None,
            f"another processor (recorded Intel(R) Xeon(R) Processor; here AMD EPYC, {HERE}): ",
        ),
    ],
)
def test_on_another_processor_it_is_said_what_agrees(
    said: Callable[..., str], machine: str, processor: str | None, words: str
) -> None:
    count = len(repeat.numbers(RECORD))
    assert said(machine, processor) == f"{words}all {count} recorded values are the same"
    assert said(machine, processor, parameters=1) == (
        f"{words}{count - 1} of {count} values agree, also whether it failed; "
        f"parameters: 1, recorded {RECORD.parameters}"
    )
    assert said(machine, processor, failed=True) == (
        f"{words}{count - 1} of {count} values agree, not whether it failed; "
        "failed: True, recorded False"
    )


def test_facts_that_a_run_lacks_are_not_counted() -> None:
    without = replace(RECORD, facts={})
    assert len(repeat.compared(RECORD, without)) == len(repeat.numbers(without))
    assert not list(repeat.differences(RECORD, without))


def test_record_without_a_processor_is_read() -> None:
    (old,) = {run.provenance.processor for run in read_results(DATA / "why.jsonl")}
    (new,) = {run.provenance.processor for run in read_results(DATA / "cause.jsonl")}
    assert (old, new) == (None, HERE)


@pytest.mark.slow
def test_record_of_this_kind_of_processor_is_repeated() -> None:
    """On another kind of processor the run is trained too, but may differ."""
    record = read_results(DATA / "cause.jsonl")[0]
    run = repeat.repeat(record)
    assert (run.arch, run.seed, run.overrides) == (record.arch, record.seed, ())
    if not repeat.other_processor(record, run):
        assert not list(repeat.differences(record, run))
