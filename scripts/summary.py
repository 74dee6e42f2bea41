"""Print the layers, output shapes and parameters of the three networks, for a batch of 64 images of MNIST."""

import torch
from torchinfo import summary
from torchinfo.enums import Units

from convblocks.data.images import MNIST
from convblocks.model.networks import ARCHITECTURES

for arch, network in ARCHITECTURES.items():
    table = str(summary(network(), input_data=torch.zeros(64, *MNIST.shape), depth=4, col_width=20, verbose=0))
    for unit in Units:
        table = table.replace(f"({unit})", f"({unit.value})")  # torchinfo 1.8 prints the name of its enum member
    print(f"\n{arch}\n{table}")
