"""A callback that subtracts each unit's mean gradient before the optimizer's step.

`fit` takes it by a config, such as docs/data/remedy/gradient-centralization.yaml.
"""

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.optim import Optimizer

from lab.first_steps import layers_of


class GradientCentralization(Callback):
    """Gradient Centralization of convolutions and linear layers.

    From a weight's gradient the mean over all weights of its unit is subtracted; biases keep
    theirs, and no length is restored (H. Yong, J. Huang, X. Hua and L. Zhang, "Gradient
    Centralization: A New Optimization Technique for Deep Neural Networks", ECCV 2020).

    Args:
        layer: The layer's place among convolutions and linear layers, from 1; None is all.
        updates: Of how many first updates; None is all.
    """

    def __init__(self, layer: int | None = None, updates: int | None = None) -> None:
        self.layer, self.updates = layer, updates

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        if self.updates is not None and trainer.global_step >= self.updates:
            return
        layers = layers_of(pl_module, nn.Conv2d, nn.Linear)
        for layer in layers if self.layer is None else [layers[self.layer - 1]]:
            centralize(layer.weight.grad)


def centralize(gradient: Tensor) -> None:
    """Subtract each unit's mean from a gradient (units, ...), in place."""
    gradient.sub_(gradient.mean(dim=tuple(range(1, gradient.dim())), keepdim=True))
