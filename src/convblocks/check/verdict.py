"""What the records of a training and of its two resumes say."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from convblocks.text import counted, listed


class Kind(NamedTuple):
    """A part of a state: what it is called, whether it is a result, and what to do where a resume loses it."""

    text: str
    is_result: bool
    advice: str


KEEP = "keep it in on_save_checkpoint and put it back in on_load_checkpoint"

# Causes come first.
KINDS = {
    "metric": Kind("the metric {}", False, f"let it keep its history by add_state, or {KEEP}"),
    "buffer": Kind("the buffer {}", False, "register it as persistent"),
    "attribute": Kind("the attribute {}", False, KEEP),
    "batch": Kind(
        "the batches",
        True,
        "give the loader and its data set a state_dict and a load_state_dict, and let them draw random numbers from "
        "torch's, NumPy's or Python's global generators",
    ),
    "random": Kind("the random numbers of {}", False, "a resumed run must draw as many before it goes on as a new one"),
    "gradient": Kind("the gradient of {}", True, f"let optimizers step, or {KEEP}"),
    "weight": Kind("{}", True, f"whatever else the training accumulates: {KEEP}"),
    "optimizer": Kind("the optimizer's state {}", True, "its state_dict must hold all of it"),
    "schedule": Kind("the schedule {}", True, "its state_dict must hold all of it"),
    "logged": Kind("{}", True, f"what it is computed from: {KEEP}"),
}
ORDER = list(KINDS)

# Where a check stops a training, and the words for it.
PLACES = {"within": "within the first epoch", "end": "at the end of an epoch", "later": "within the second epoch"}

# By place, of each process: the record of the whole training, and those of two resumes if it could be stopped there.
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
    exact, problems, notes, without, batches = list[str](), list[str](), list[str](), list[Part](), dict[bool, int]()
    for place, processes in records.items():
        whole, *resumed = processes[0]
        states = [[_states(record) for record in process] for process in processes]
        if not resumed:
            notes += [] if place == "later" else [f"not checked {PLACES[place]}. {whole['reason']}."]
        elif text := next(filter(None, (difference(*process) for process in states)), ""):
            problems.append(f"not exact {PLACES[place]}: {text}")
        else:
            exact.append(PLACES[place])
            batches[place == "within"] = len(states[0][0]) - 1
            without += [part for process in states for part in without_effect(*process)]
    lines = []
    if exact:
        *_, longest = records.values()
        idle = longest[0][0]["idle"]
        later = f"; {listed(idle)} had not begun" if idle else ""
        epochs = counted(2 if False in batches else 1, "epoch")
        lines = [f"exact {listed(exact)}: {sum(batches.values())} batches of {epochs}{later}"]
    if without:
        notes.append(f"not restored, without effect on these batches: {described(without)}")
    return Report(bool(exact) and not problems, [*lines, *problems, *notes])


def has_other_batches(records: Records) -> bool:
    """Whether resumes begin with other batches after an epoch, in some process."""
    processes = [process for place in ("end", "later") for process in records[place] if len(process) > 1]
    found = [_first_difference(_states(whole), _states(resumed)) for whole, resumed, _ in processes]
    return any(("batch", "") in first[1] for first in found if first)


def without_effect(whole: States, first: States, second: States) -> list[Part]:
    """Attributes that both resumes lack in the same way."""
    last = max(whole)
    doubtful = _changed(first[last], second[last])
    return [part for part in _changed(whole[last], first[last]) if part not in doubtful]


def difference(whole: States, first: States, second: States) -> str:
    """What differs between a training and its two resumes, and what to do about it; nothing where they agree."""
    if min(first) == 0:
        return "a resume finds no checkpoint, and begins anew"
    if found := _first_difference(first, second):
        number, parts = found
        advice = "the training is not deterministic by itself, see torch.use_deterministic_algorithms"
        return f"two resumes differ from each other, from batch {number + 1} on in {described(parts)}: {advice}"
    if not (found := _first_difference(whole, first)):
        return ""
    number, parts = found
    begin = min(first)
    doubtful = _changed(first[begin], second[begin])
    lost = [part for part in _changed(whole.get(begin, {}), first[begin]) if part not in doubtful]
    causes = [part for part in lost if not KINDS[part[0]].is_result]
    since = f", since it does not restore {described(causes)}" if causes else ""
    advice = KINDS[(causes or parts)[0][0]].advice
    return f"a resume differs from batch {number + 1} on in {described(parts)}{since}: {advice}"


def described(parts: Sequence[Part]) -> str:
    """The first three parts, by name."""
    texts = list(dict.fromkeys(KINDS[kind].text.format(name) for kind, name in parts))
    return listed([*texts[:3], *([f"{len(texts) - 3} more"] if len(texts) > 3 else [])])


def _states(record: Mapping[str, Any]) -> States:
    return {number: {(kind, name): digest for kind, name, digest in state} for number, state in record["states"]}


def _first_difference(left: States, right: States) -> tuple[int, list[Part]] | None:
    """The first number of batches after which results differ; else the last, if what leads to results differs there.

    Attributes alone are no difference: some measure time.
    """
    numbers = sorted(number for number in left.keys() | right.keys() if number >= min(right))
    found = [(number, _changed(left.get(number, {}), right.get(number, {}))) for number in numbers]
    for number, parts in found:
        if results := [part for part in parts if KINDS[part[0]].is_result]:
            return number, results
    number, parts = found[-1]
    lasting = [part for part in parts if part[0] != "attribute"]
    return (number, lasting) if lasting else None


def _changed(left: dict[Part, str], right: dict[Part, str]) -> list[Part]:
    """What differs, causes first."""
    parts = [part for part in left | right if left.get(part) != right.get(part)]
    return sorted(parts, key=lambda part: ORDER.index(part[0]))
