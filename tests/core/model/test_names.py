"""Each registered network is what its record says, wherever it is asked for."""

import subprocess
import sys

import pytest
import torch
from torch import nn

import convblocks
from convblocks import __main__ as command_line
from convblocks import wings
from convblocks.data.images import ImageSpec
from convblocks.errors import UsageError
from convblocks.model.names import COURSE, RECORDS, in_order, name_of, refuse_unknown, title_of
from convblocks.model.networks import ARCHITECTURES, build_network

COLOURED = ImageSpec(3, 20, 24, classes=("cat", "dog"), mean=(0.5,) * 3, std=(0.25,) * 3)


@pytest.mark.parametrize("arch", RECORDS)
def test_record_names_a_network_that_takes_any_images(arch: str) -> None:
    images = torch.zeros(2, 3, 20, 24)
    assert build_network(arch, image_spec=COLOURED).eval()(images).shape == (2, 2)


@pytest.mark.parametrize("arch", RECORDS)
def test_class_of_a_record_is_imported_from_convblocks(arch: str) -> None:
    name = RECORDS[arch].class_name
    assert getattr(convblocks, name) is ARCHITECTURES[arch]
    assert issubclass(ARCHITECTURES[arch], nn.Module)
    assert name in convblocks.__all__


def test_records_differ_in_title_and_style() -> None:
    records = RECORDS.values()
    assert len({record.title for record in records}) == len(records)
    assert len({record.style for record in records}) == len(records)


def test_help_of_fit_lists_every_network_without_torch() -> None:
    text = command_line.docstring(wings.commands()["fit"])
    assert f"--arch {{{','.join(RECORDS)},module.Network}}" in text
    check = (
        "import sys; from convblocks.__main__ import docstring; "
        "docstring('convblocks.run.fit'); print('torch' in sys.modules)"
    )
    printed = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert printed.stdout == "False\n"


def test_registered_networks_come_first_and_others_keep_their_names() -> None:
    assert in_order(["mynets.B", *reversed(COURSE), "mynets.A"])[:3] == [*COURSE]
    assert in_order(["mynets.B", "mynets.A"]) == ["mynets.B", "mynets.A"]
    assert (title_of("mlp"), name_of("mlp"), name_of("maxpool")) == ("MLP", "the MLP", "MaxPool")
    assert title_of("mynets.A") == name_of("mynets.A") == "mynets.A"


@pytest.mark.parametrize("arch", RECORDS)
def test_misspelt_name_is_refused_with_the_network_meant(arch: str) -> None:
    with pytest.raises(UsageError, match=f"did you mean {arch}"):
        refuse_unknown(f"{arch}x")
