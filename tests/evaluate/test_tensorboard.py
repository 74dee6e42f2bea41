"""What a run writes for TensorBoard, read from its event files."""

import json
import re
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData


@pytest.fixture(scope="module")
def events(trained: Path) -> Any:
    return EventAccumulator(str(trained.parents[1])).Reload()


def text(events: Any, tag: str) -> bytes:
    (event,) = events.Tensors(tag)
    content: bytes = event.tensor_proto.string_val[0]
    return content


def hparams(events: Any, part: str) -> Any:
    content = events.SummaryMetadata(f"_hparams_/{part}").plugin_data.content
    return getattr(HParamsPluginData.FromString(content), part)


def test_curves_and_final_values(events: Any, trained: Path) -> None:
    final = json.loads((trained.parents[1] / "summary.json").read_text())["final"]
    for tag in ("train/loss", "test/loss", "train/acc", "test/acc"):
        points = events.Scalars(tag)
        assert [point.step for point in points] == [937, 1875]
        assert points[-1].value == pytest.approx(final[tag])
    (calibration,) = events.Scalars("when_done/calibration_error")
    assert 0 < calibration.value < 0.1
    (accuracy,) = events.Scalars("when_done/test_acc")
    assert accuracy.value == pytest.approx(final["test/acc"])


def test_figures_and_the_graph_of_the_network(events: Any) -> None:
    names = ["calibration", "confusion", "hardest_images"]
    assert sorted(events.Tags()["images"]) == [f"visuals/{name}" for name in names]
    (shown,) = events.Images("visuals/hardest_images")
    assert shown.step == 1876
    with Image.open(BytesIO(shown.encoded_image_string)) as figure:
        assert len(figure.convert("L").getcolors(256) or []) > 100  # not an empty frame
    graph = str(events.Graph())
    assert all(layer in graph for layer in ("Conv2d", "BatchNorm2d", "AdaptiveAvgPool2d", "Linear"))


def test_hparams(events: Any) -> None:
    settings = hparams(events, "session_start_info").hparams
    assert (settings["model.arch"].string_value, settings["model.lr_scheduler"].string_value) == (
        "batchnorm",
        "onecycle",
    )
    assert "when_done/test_acc" in [info.name.tag for info in hparams(events, "experiment").metric_infos]


def test_training_and_test_share_a_chart(events: Any) -> None:
    (category,) = Layout.FromString(text(events, "custom_scalars__config__")).category
    curves = [chart.multiline.tag for chart in category.chart]
    shown = [[tag for tag in sorted(events.Tags()["scalars"]) if re.match("|".join(tags), tag)] for tags in curves]
    assert shown == [["test/loss", "train/loss"], ["test/acc", "train/acc"]]
