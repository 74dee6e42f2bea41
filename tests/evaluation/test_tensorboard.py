"""What TensorBoard shows of a run, read from its server."""

import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from tests.evaluation.board import get, serving

RUN = "batchnorm"


@pytest.fixture(scope="module")
def tensorboard(trained: Path) -> Iterator[str]:
    """The address of a server that shows the run."""
    with serving(trained.parents[2]) as address:
        yield address


def test_scalars(tensorboard: str, trained: Path) -> None:
    final = json.loads((trained.parents[1] / "summary.json").read_text())["final"]
    for tag in ("train/loss", "test/loss", "train/acc", "test/acc"):
        points = json.loads(get(tensorboard, "plugin/scalars/scalars", run=RUN, tag=tag))
        assert [step for _, step, _ in points] == [937, 1875]
        assert points[-1][2] == pytest.approx(final[tag])
    (calibration,) = json.loads(get(tensorboard, "plugin/scalars/scalars", run=RUN, tag="when_done/calibration_error"))
    assert 0 < calibration[2] < 0.1


def test_the_figure(tensorboard: str) -> None:
    (tag,) = json.loads(get(tensorboard, "plugin/images/tags"))[RUN]
    assert tag == "visuals/evaluation"
    (shown,) = json.loads(get(tensorboard, "plugin/images/images", run=RUN, tag=tag, sample="0"))
    assert shown["step"] == 1876
    with Image.open(BytesIO(get(tensorboard, f"plugin/images/individualImage?{shown['query']}&"))) as figure:
        assert figure.format == "PNG"
        assert len(figure.convert("L").getcolors(256) or []) > 100  # not an empty frame


def test_hparams(tensorboard: str, trained: Path) -> None:
    summary = json.loads((trained.parents[1] / "summary.json").read_text())
    wanted = {"experimentName": "", "startIndex": 0, "sliceSize": 10, "allowedStatuses": ["STATUS_SUCCESS"]}
    groups = json.loads(get(tensorboard, "plugin/hparams/session_groups", wanted | {"colParams": []}))
    (group,) = groups["sessionGroups"]
    assert (group["hparams"]["arch"], group["hparams"]["lr_scheduler"]) == ("batchnorm", "onecycle")
    metrics = {metric["name"]["tag"]: metric["value"] for metric in group["metricValues"]}
    assert metrics["when_done/test_acc"] == pytest.approx(summary["final"]["test/acc"])


def test_graph(tensorboard: str) -> None:
    graph = get(tensorboard, "plugin/graphs/graph", run=RUN, conceptual="false").decode()
    for layer in ("Conv2d", "BatchNorm2d", "AdaptiveAvgPool2d", "Linear"):
        assert layer in graph


def test_a_card_with_the_command_and_the_settings(tensorboard: str) -> None:
    tags = json.loads(get(tensorboard, "plugin/text/tags"))[RUN]
    (card,) = (tag for tag in tags if tag.startswith("run"))
    (shown,) = json.loads(get(tensorboard, "plugin/text/text", run=RUN, tag=card))
    assert "fit.py --arch batchnorm --name batchnorm --epochs 2" in shown["text"]
    assert "lr_scheduler: onecycle" in shown["text"]


def test_train_and_test_share_a_chart(tensorboard: str) -> None:
    layout = json.loads(get(tensorboard, "plugin/custom_scalars/layout"))
    (category,) = layout["category"]
    assert [chart["title"] for chart in category["chart"]] == ["loss", "accuracy"]
    for chart in category["chart"]:
        for tag in chart["multiline"]["tag"]:
            answer = json.loads(get(tensorboard, "plugin/custom_scalars/scalars", run=RUN, tag=tag))
            assert answer["regex_valid"]
            assert [len(points) for points in answer["tag_to_events"].values()] == [2]
