"""How TensorBoard's tags are named, so that the curves of loss and accuracy come first there.

TensorBoard sorts tags by name and, of the groups that they form, opens the first two: ``test`` and ``train`` or, with a
validation split, ``train`` and ``val``. The groups here come after these.
"""

from convblocks.runs.directory import DEAD, SPEED

# What shows how a run is doing: silent units, and its speed.
VITALS = "vitals"

# All pictures.
VISUALS = "visuals"

# In pixels, the width that the Images tab gives each picture: those that are made for it are as wide, and as high.
CARD = 350

# What is one number, known at the end.
WHEN_DONE = "when_done"


def tag_of(metric: str) -> str:
    """The tag of a metric that a run logs: its name or, of one that must not come first, a name with a group before."""
    if metric in SPEED:
        return f"{VITALS}/speed/{metric}"
    return f"{VITALS}/{metric}" if metric.startswith(DEAD) else metric


def tag_when_done(metric: str) -> str:
    """The tag of a final value, which as a point of the metric's own curve would be a false one."""
    return f"{WHEN_DONE}/{metric.replace('/', '_')}"
