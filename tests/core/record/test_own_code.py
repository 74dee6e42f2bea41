"""Which of the user's own modules decide a run's numbers, and which edits of them count."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from torch import nn

from convblocks.record import own_code
from convblocks.record.own_code import changed, code_of, digest_of

SOURCE = '''
"""A network."""
import torch  # its tensors

def scaled(x, factor=2):
    """Scaled."""
    if factor > 1:
        x = x * factor
    return f"{x!r} # no comment {factor}" + 'a'
'''


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  # its tensors", ""),
        ("import torch", "\n\n# All of it.\nimport torch"),
        ('    """Scaled."""\n', ""),
        ('"""A network."""', '"""A better\n\nnetwork."""'),
        ("x * factor", "x  *  factor"),
        ("factor > 1", "factor>1"),
        ("\n    ", "\n  "),
        ("x * factor", "x * \\\n            factor"),
    ],
)
def test_comments_docstrings_and_white_space_do_not_count(old: str, new: str) -> None:
    assert old in SOURCE
    assert digest_of(SOURCE.replace(old, new)) == digest_of(SOURCE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("factor=2", "factor=3"),
        ("x * factor", "x ** factor"),
        ("    return", "        return"),
        ("# no comment", "# a comment"),
        ("'a'", "'A'"),
        ("'a'", "'a '"),
        ("import torch", "import numpy as torch"),
        ('    """Scaled."""\n', '    print("""Scaled.""")\n'),
    ],
)
def test_anything_else_counts(old: str, new: str) -> None:
    assert old in SOURCE
    assert digest_of(SOURCE.replace(old, new)) != digest_of(SOURCE)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's package ``flora`` beside a module, which are not imported yet."""
    files = {
        "flora/__init__.py": "",
        "flora/nets.py": "from torch import nn\nfrom . import blocks\nimport bare\n"
        "class Net(nn.Module):\n    def forward(self, x):\n        from flora.late import f\n",
        "flora/blocks.py": "from flora import nets",
        "flora/late.py": "import numpy",
        "flora/unused.py": "",
        "bare.py": "",
    }
    for name, source in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    for module in [name for name in sys.modules if name.partition(".")[0] in ("flora", "bare")]:
        monkeypatch.delitem(sys.modules, module)
    return tmp_path


def net() -> Any:
    from flora.nets import Net  # type: ignore[import-not-found]

    return Net()


def test_code_is_the_modules_of_classes_and_what_they_import(project: Path) -> None:
    """Not what is installed, nor what is only beside."""
    found = code_of([nn.Sequential(net()), net()], {})
    assert found is not None
    assert [*found] == ["bare", "flora", "flora.blocks", "flora.late", "flora.nets"]


def test_code_is_also_that_of_classes_that_settings_name(project: Path) -> None:
    net()
    for settings in ({"loss": "flora.nets.Net"}, {"callbacks": [{"class_path": "flora.nets.Net"}]}):
        assert "flora.nets" in (code_of([], {"model": settings}) or {})


def test_package_that_is_imported_within_a_function_is_not_imported_for_it(project: Path) -> None:
    (project / "frond").mkdir()
    (project / "frond" / "__init__.py").write_text("raise RuntimeError('there is no GPU')")
    (project / "frond" / "kernels.py").write_text("")
    (project / "flora" / "late.py").write_text("def f():\n    from frond.kernels import fused")
    assert "frond.kernels" in (code_of([net()], {}) or {})


def test_sum_of_a_thousand_terms_is_read(project: Path) -> None:
    (project / "flora" / "late.py").write_text(f"TEXT = {' + '.join(['1'] * 5000)}")
    assert "flora.late" in (code_of([net()], {}) or {})


def test_code_is_the_same_in_a_copy_elsewhere(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    before = own_code._read(project / "flora" / "nets.py")
    copy = tmp_path_factory.mktemp("copy") / "nets.py"
    copy.write_text((project / "flora" / "nets.py").read_text())
    assert own_code._read(copy) == before


def test_code_of_our_own_clone_is_that_of_networks_and_data() -> None:
    from convblocks.data.module import ImageDataModule
    from convblocks.model.networks import MultiLayerPerceptron

    found = code_of([MultiLayerPerceptron(), ImageDataModule()], {}) or {}
    assert {"convblocks.model.networks", "convblocks.data.module"} <= found.keys()
    assert not [name for name in found if not name.startswith(own_code.DECISIVE)]


@pytest.mark.parametrize("most", [own_code.MOST_BYTES, 9])
def test_file_that_a_setting_names_counts_by_its_content(
    most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a large one by its size, beginning, middle and end."""
    monkeypatch.setattr(own_code, "MOST_BYTES", most)
    digests: list[str] = []
    for number, text in enumerate(["a,b\n1,2\n3,4\n", "a,b\n1,2\n3,4\n", "a,b\n1,5\n3,4\n"]):
        path = tmp_path / f"{number}" / "a.csv"
        path.parent.mkdir()
        path.write_text(text)
        found = code_of([], {"data": {"class_path": "p.D", "init_args": {"table": str(path)}}})
        assert found is not None
        assert [*found] == [f"--data.table {path.name}"]
        digests += found.values()
    assert digests[0] == digests[1] != digests[2]
    assert code_of([], {"data": {"table": str(tmp_path)}, "trainer": {"path": str(path)}}) == {}


def test_class_of_a_notebook_has_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))
    typed = type("Typed", (nn.Module,), {"__module__": "__main__"})
    assert code_of([typed()], {}) is None


def test_installed_package_has_its_version() -> None:
    import matplotlib.figure

    named = {"network": {"class_path": "matplotlib.figure.Figure"}}
    assert (code_of([], named) or {}) == {"matplotlib": matplotlib.__version__}


def test_change_is_one_of_a_module_that_is_known_before_and_now() -> None:
    assert changed({"a": "1", "b": "1"}, {"a": "1", "b": "2"}) == ["b"]
    assert changed({"a": "1"}, {"b": "2"}) == []
    assert changed(None, {"a": "1"}) == changed({"a": "1"}, None) == []
