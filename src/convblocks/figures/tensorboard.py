"""Pictures and final values in TensorBoard, under tags that come after the curves."""

import struct
from pathlib import Path

from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard import SummaryWriter

# All figures.
VISUALS = "visuals"

# Single values, known at the end.
WHEN_DONE = "when_done"


def tag_when_done(metric: str) -> str:
    """The tag of a final value, which as a point of the metric's curve would be a false one."""
    return f"{WHEN_DONE}/{metric.replace('/', '_')}"


def add_png(writer: SummaryWriter, tag: str, path: Path) -> None:
    """Write a PNG file as it is; ``add_image`` takes pixels, and encodes them again."""
    content = path.read_bytes()
    width, height = struct.unpack(">II", content[16:24])  # the beginning of a PNG file's header
    image = Summary.Image(width=width, height=height, colorspace=3, encoded_image_string=content)
    writer._get_file_writer().add_summary(Summary(value=[Summary.Value(tag=tag, image=image)]))
