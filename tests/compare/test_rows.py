"""The line of each run in the CSV file of a comparison."""

import csv
import io
import math
from dataclasses import replace

from convblocks.compare.tables import as_row
from convblocks.text import as_csv
from tests.made_up import MACHINE, course, result


def test_row_has_every_value_as_what_it_is_for_a_spreadsheet() -> None:
    """Numbers as numbers, True and False, and the fingerprints of the data in one field."""
    overrides = (("epochs", "2"), ("lr", "1e-3"))
    run = result("maxpool", 0, 0.97, overrides, course(0.95, 0.97), validation=0.96, facts={"mistakes": [3, 17]})
    run = replace(run, provenance=replace(run.provenance, data={"train": "abc", "test": "def"}))
    (row,) = csv.DictReader(io.StringIO(as_csv([as_row(run)])))
    names = ["arch", "seed", "epochs", "lr", "parameters", "test_acc", "val_acc", "train_loss_first", "train_loss_last"]
    names += ["failed", "seconds", "machine", "commit", "device", "processes", "threads", "data_md5"]
    values = ["maxpool", "0", "2", "1e-3", "85526", "0.97", "0.96", "0.2", "0.1"]
    values += ["False", "20.0", MACHINE, "abc1234", "cpu", "1", "1", "train=abc test=def"]
    assert row == dict(zip(names, values, strict=True))
    diverged = as_row(result("mlp", 0, 0.098, epochs=course(0.098, loss=math.nan)))
    assert (diverged["failed"], math.isnan(diverged["train_loss_last"])) == (True, True)
