"""Print the layers, output shapes, parameters and multiply-adds of all networks.

They are those for one image.

usage: python scripts/summary.py
"""

import torch
from torchinfo import summary
from torchinfo.enums import Units

from convblocks.command_line import Parser
from convblocks.console import answer, end
from convblocks.data.images import MNIST
from convblocks.model.networks import ARCHITECTURES


def main(arguments: list[str]) -> None:
    """Print torchinfo's table of every registered network for one image, within 80 columns."""
    Parser().parse_args(arguments)  # there are no options
    for arch, network in ARCHITECTURES.items():
        images = torch.zeros(1, *MNIST.shape)
        table = str(summary(network(), input_data=images, depth=4, col_width=20, verbose=0))
        for unit in Units:
            # torchinfo 1.8 prints the name of its enum member.
            table = table.replace(f"({unit})", f"({unit.value})")
        print(f"\n{arch}\n{table}")


if __name__ == "__main__":
    end(answer(main, __doc__))
