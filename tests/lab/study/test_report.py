"""The study's verdict, and both of its reports as a whole (`REWRITE=1` updates the
expected ones).
"""

import re
from dataclasses import replace
from random import Random

import pytest

from convblocks.record.result import RunResult
from lab.study.decision import decide
from lab.study.plan import CONFIRMING_SEEDS, NOTEBOOK, Cell
from lab.study.report import conclusions, differences_of
from tests.made_up import CHANCE, assert_expected, result

SEEDS = CONFIRMING_SEEDS[:8]  # so few that all divisions of the runs are counted

BEST = Cell("3e-3", "onecycle")
# On an image by image comparison: another version of numpy draws other samples.
BOOTSTRAP = re.compile(
    r"(new images, the difference is estimated as \S+ points|\d of \d \| \S+) \[[^]]*\]"
)
CHOICES = {"mlp": BEST, "maxpool": BEST, "batchnorm": NOTEBOOK}


def at(
    arch: str, cell: Cell, accuracy: float, collapsed: int = 0, spread: float = 0.0005
) -> list[RunResult]:
    """Eight runs around an accuracy, the first of which have collapsed, each with its
    own mistakes.
    """
    runs = []
    for place, seed in enumerate(SEEDS):
        wanted = CHANCE if place < collapsed else accuracy + spread * (place % 3 - 1)
        wrong = sorted(Random(f"{arch} {seed}").sample(range(10_000), round(10_000 * (1 - wanted))))
        runs.append(
            result(arch, seed, 1 - len(wrong) / 10_000, cell.overrides, facts={"mistakes": wrong})
        )
    return runs


def confirming(maxpool: float, collapsed: int = 0, spread: float = 0.0005) -> list[RunResult]:
    """At the best settings BatchNorm has 99 %, MaxPool this; at the notebook's the MLP
    has 95 %, MaxPool 96.
    """
    return [
        *at("mlp", NOTEBOOK, 0.95),
        *at("maxpool", NOTEBOOK, 0.96, collapsed=2),
        *at("mlp", BEST, 0.98),
        *at("maxpool", BEST, maxpool, collapsed, spread),
        *at("batchnorm", NOTEBOOK, 0.99, 0, spread),
    ]


VERDICTS = {
    "first is better": (0.9930,),
    "second is better": (0.9870,),
    "equivalent": (0.9900,),
    "undecided, in a wide interval": (0.9905, 0, 0.004),
    "undecided, as ranks decide where four of eight collapsed": (0.9930, 4),
    "undecided, as one that collapsed is not equivalent": (0.99, 1),
}


def test_verdicts_are_the_expected_ones() -> None:
    """The interval of the test decides; after any collapse ranks do, since a new run
    might not train either.
    """
    text = ""
    for title, (maxpool, *others) in VERDICTS.items():
        decision = decide(confirming(maxpool, *others), CHOICES)  # type: ignore[arg-type]
        assert title.startswith(decision.ruling)
        text += f"## {title}\n" + "\n".join(conclusions(decision)[:2]) + "\n\n"
    assert_expected("study-verdicts.md", BOOTSTRAP.sub(r"\1 [...]", text))


def test_figure_of_differences_has_the_better_network_first() -> None:
    notebooks, best = differences_of(decide(confirming(0.9930), CHOICES)).items()
    assert notebooks[0] == "At the notebook's setting, BatchNorm leads, collapsed runs left out"
    assert next(iter(best[1])) == "MaxPool − BatchNorm"
    values = [one.value for _, found in (notebooks, best) for one in found.values()]
    assert min(values) > 0


def test_images_that_only_one_network_gets_right_are_counted_if_the_mistakes_are_known() -> None:
    runs = [
        *(
            result("maxpool", seed, 0.9997, BEST.overrides, facts={"mistakes": [1, 2, 3]})
            for seed in (1, 2)
        ),
        *(
            result("batchnorm", seed, 0.9999, NOTEBOOK.overrides, facts={"mistakes": [3]})
            for seed in (1, 2)
        ),
        result("maxpool", 1, 0.96, NOTEBOOK.overrides),
    ]
    (by_image,) = decide(runs, CHOICES).by_image
    assert (by_image.first, by_image.second, by_image.pairs) == ("maxpool", "batchnorm", 2)
    assert (by_image.only_first, by_image.only_second, by_image.significant) == (0, 2, 0)
    assert by_image.new_images.value == pytest.approx(-0.0002)
    assert decide([replace(run, facts={}) for run in runs], CHOICES).by_image == ()
