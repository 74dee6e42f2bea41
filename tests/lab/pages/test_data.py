"""docs/data says what each of its files is."""

from fnmatch import fnmatch

from lab.pages.writing import DATA

# Names in code font, such as ``candidates-*.jsonl`` and ``why/``.
NAMES = (DATA / "README.md").read_text().replace("`", " ").replace(",", " ").split()


def test_every_file_of_the_data_is_described_and_every_described_one_is_there() -> None:
    entries = [
        f"{path.name}/" if path.is_dir() else path.name
        for path in DATA.iterdir()
        if path.name != "README.md"
    ]
    assert not [entry for entry in entries if not any(fnmatch(entry, name) for name in NAMES)]
    described = [
        name for name in NAMES if name.endswith((".jsonl", ".json", ".csv")) and "/" not in name
    ]
    assert not [name for name in described if name != ".jsonl" and not any(DATA.glob(name))]
