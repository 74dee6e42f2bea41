"""The gradients of a module that steps its optimizers itself."""

from exact_resume.keepers.keeper import Keeper, State
from exact_resume.moment import Moment


class Gradients(Keeper):
    """Keeps gradients that may add up over several steps, where Lightning does not."""

    kind = "gradient"

    def state(self, moment: Moment) -> State:
        module = self.trainer.lightning_module
        if module.automatic_optimization:
            return {}
        return {
            name: weight.grad.cpu()
            for name, weight in module.named_parameters()
            if weight.grad is not None
        }

    def restore(self, state: State, moment: Moment) -> None:
        for name, gradient in state.items():
            parameter = self.trainer.lightning_module.get_parameter(name)
            parameter.grad = gradient.to(parameter.device)
