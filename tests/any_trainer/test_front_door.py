"""The names that ``from convblocks import ...`` provides."""

import subprocess
import sys

import pytest

from convblocks import ARCHITECTURES, ConvBatchNormNetwork, ConvMaxPoolNetwork, MultiLayerPerceptron


@pytest.mark.slow
def test_torch_is_imported_with_the_first_class_that_is_asked_for() -> None:
    program = (
        "import sys, convblocks; assert 'torch' not in sys.modules; "
        "convblocks.DigitClassifier, convblocks.MNISTDataModule; assert 'torch' in sys.modules; "
        "assert not hasattr(convblocks, 'DigitClassifiers')"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (finished.returncode, finished.stderr) == (0, "")


def test_the_networks_are_those_of_the_registry() -> None:
    networks = (MultiLayerPerceptron, ConvMaxPoolNetwork, ConvBatchNormNetwork)
    assert tuple(ARCHITECTURES.values()) == networks
