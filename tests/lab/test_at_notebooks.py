"""MaxPool's runs at the notebook's setting are counted once each."""

from lab.at_notebooks import at_notebooks_sentence, runs_at_notebooks
from lab.pages.writing import DATA
from lab.results import collapses


def test_no_seed_is_counted_twice() -> None:
    seeds = [run.seed for runs in runs_at_notebooks(DATA).values() for run in runs]
    assert len(seeds) == len(set(seeds))


def test_sentence_has_the_sum_of_what_it_names() -> None:
    experiments = runs_at_notebooks(DATA)
    runs = experiments.values()
    collapsed, total = sum(map(collapses, runs)), sum(map(len, runs))
    assert f"in all {collapsed} of {total} [" in at_notebooks_sentence(experiments)
