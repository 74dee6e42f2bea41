"""The gradients of a module that steps its optimizers itself."""

from exact_resume.keeper import Keeper, Moment, State


class Gradients(Keeper):
    """Keeps gradients that may accumulate over batches with manual optimization, since
    Lightning's checkpoints lack them.
    """

    kind = "gradient"

    def state(self, moment: Moment) -> State:
        if self.module.automatic_optimization:
            return {}
        return {
            name: weight.grad.cpu()
            for name, weight in self.module.named_parameters()
            if weight.grad is not None
        }

    def restore(self, state: State) -> None:
        for name, gradient in state.items():
            parameter = self.module.get_parameter(name)
            parameter.grad = gradient.to(parameter.device)
