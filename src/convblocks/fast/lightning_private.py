"""The private names of Lightning and torch that the speed-ups depend on, each once, with
its purpose.

tests/fast/test_lightning_private.py looks each up in the installed versions.
"""

from lightning.pytorch.loops.optimization.automatic import _AutomaticOptimization

from exact_resume.lightning_private import Private

# One step of training in Lightning's loop, with closures and hooks.
AutomaticOptimization = _AutomaticOptimization

RUNNING_HOOK = Private(
    "lightning.pytorch:LightningModule",
    "_current_fx_name",
    "the name of the hook that runs, which self.log asks for",
)
TRANSFER = Private(
    "lightning.pytorch:LightningModule",
    "_apply_batch_transfer_handler",
    "moves a batch to the device",
)
DDP_ARGUMENTS = Private(
    "lightning.pytorch.strategies:DDPStrategy",
    "_ddp_kwargs",
    "what DistributedDataParallel will be made with",
)

# The hooks of a module, of any kind that a call runs.
HOOKS = [
    Private("torch.nn:Module", name, "a module that has some is called as usual")
    for name in ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")
]
