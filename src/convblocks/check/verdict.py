"""What the records of a training, and of those that resume from its checkpoints, say."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from convblocks.text import listed

# The parts of a state, in words. What comes first leads to what comes last, which are results.
CAUSES = {
    "metric": "the metric {}",
    "buffer": "the buffer {}",
    "attribute": "the attribute {}",
    "random": "the random numbers of {}",
}
RESULTS = {
    "batch": "the batches",
    "gradient": "the gradient of {}",
    "weight": "{}",
    "optimizer": "the state of optimizer {}",
    "schedule": "the schedule {}",
    "logged": "{}",
}
KINDS = CAUSES | RESULTS

# What to do where a resume loses something, in data or elsewhere.
LOADER = (
    "give the loader and its data set a state_dict and a load_state_dict, and let them draw random numbers from "
    "torch's, NumPy's or Python's global generators"
)
KEEP = "keep it in on_save_checkpoint and put it back in on_load_checkpoint"
UNKNOWN = "keep what else the training accumulates as on_save_checkpoint does, unless it is not deterministic by itself"

# Where a check stops a training, in words.
PLACES = {"within": "within the first epoch", "end": "at the end of an epoch", "later": "within the second epoch"}

# By place, of each process: the record of the whole training, and that of a resume if it could be stopped there.
Records = Mapping[str, Sequence[Sequence[Mapping[str, Any]]]]

# A state is a digest of each (kind, name); states are by the number of batches before them.
Part = tuple[str, str]
States = dict[int, dict[Part, str]]


class Report(NamedTuple):
    """What a check has found: whether a resume is exact, and the lines that say so, which are its text."""

    is_exact: bool
    lines: list[str]

    def __str__(self) -> str:
        return "\n".join(self.lines)


def report(records: Records) -> Report:
    """The report on a check."""
    exact, problems, notes, lost, batches = list[str](), list[str](), list[str](), list[Part](), dict[bool, int]()
    for place, processes in records.items():
        states = [[_states(record) for record in process] for process in processes]
        if len(states[0]) == 1:
            notes += [] if place == "later" else [f"not checked {PLACES[place]}. {processes[0][0]['reason']}."]
        elif text := next(filter(None, (difference(*process) for process in states)), ""):
            problems.append(f"not exact {PLACES[place]}: {text}")
        else:
            exact.append(PLACES[place])
            batches[place == "within"] = len(states[0][0]) - 1
            lost += [part for whole, resumed in states for part in _changed(whole[max(whole)], resumed[max(whole)])]
    if lost:
        notes.append(f"not restored, without effect on these batches: {described(lost)}")
    lines = [f"exact {listed(exact)}, on {sum(batches.values())} batches"] if exact else []
    return Report(bool(exact) and not problems, [*lines, *problems, *notes])


def difference(whole: States, resumed: States) -> str:
    """What differs between a training and a resume, and what to do about it; nothing where they agree."""
    begin = min(resumed)
    if begin == 0:
        return "a resume finds no checkpoint, and begins again"
    numbers = sorted(number for number in whole.keys() | resumed.keys() if number >= begin)
    changes = {number: _changed(whole.get(number, {}), resumed.get(number, {})) for number in numbers}
    results = {number: [part for part in parts if part[0] in RESULTS] for number, parts in changes.items()}
    # Attributes alone are no difference: some measure time. Other causes are one if they last.
    lasting = [part for part in changes[numbers[-1]] if part[0] != "attribute"]
    number = next((number for number in numbers if results[number]), numbers[-1])
    if not (parts := results[number] or lasting):
        return ""
    causes = [part for part in changes[begin] if part[0] in CAUSES]
    since = f", since it does not restore {described(causes)}" if causes else ""
    advice = KEEP if causes else LOADER if ("batch", "") in parts else UNKNOWN
    return f"a resume differs from batch {number + 1} on in {described(parts)}{since}: {advice}"


def described(parts: Sequence[Part]) -> str:
    """The first three parts, by name."""
    texts = list(dict.fromkeys(KINDS[kind].format(name) for kind, name in parts))
    return listed([*texts[:3], *([f"{len(texts) - 3} more"] if len(texts) > 3 else [])])


def _states(record: Mapping[str, Any]) -> States:
    return {number: {(kind, name): digest for kind, name, digest in state} for number, state in record["states"]}


def _changed(left: dict[Part, str], right: dict[Part, str]) -> list[Part]:
    """What differs, causes first."""
    parts = [part for part in left | right if left.get(part) != right.get(part)]
    return sorted(parts, key=lambda part: [*KINDS].index(part[0]))
