"""Every notebook runs from top to bottom, and none is stored with its output."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


# What a notebook must print, so that it does not run and show the wrong thing.
PRINTED = {
    "01_quickstart.ipynb": ["verified: True"],
    "02_release_and_verify.ipynb": [
        "verdict: ",
        "verified: True",
        "file public/privacy.json | public/privacy.json was changed",
        "verdict: refuse",
        "after the waiver: allow",
        "approved bundle verified: True",
        "Nothing was booked",
    ],
    "03_collapse.ipynb": ["replacing lost most: True", "rows in each table: 3000"],
    "04_audit.ipynb": ["rows copied whole: ", "verdict: leak", "closest_record: none."],
}


def test_every_notebook_says_what_it_must_show() -> None:
    assert [path.name for path in NOTEBOOKS] == list(PRINTED)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_no_output_is_stored(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_it_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Two kernels at once on two cores, each with two busy threads, would wait for each other.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=resources).execute()
    printed = "".join(
        output.get("text", "")
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if output.output_type == "stream" and output.name == "stdout"
    )
    for words in PRINTED[path.name]:
        assert words in printed
    assert not list(tmp_path.iterdir()), "a notebook leaves nothing behind"
