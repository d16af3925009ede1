"""What the report says of expected errors: in both editions, redrawn from what is stored."""

import re

import pytest

from dpsynth.errors import IntegrityError
from dpsynth.release.bundle import write_bundle
from dpsynth.release.reading import read_bundle
from dpsynth.release.report.count_errors import ColumnError, CountErrors, PairError
from dpsynth.release.report.figures_errors import count_errors
from dpsynth.release.verify import verify_bundle

ERRORS = CountErrors(
    rows=283,
    simulations=4,
    columns=(
        ColumnError(name="age", mean=0.004, largest=0.011, worst="30..39"),
        ColumnError(name="town", mean=0.002, largest=0.003, worst="<Ghent> | Bruges"),
    ),
    pairs=(PairError(first="age", second="town", distance=0.0567),),
)
REFUSING = """
name = "test"
min_rows = 100000
[[finding]]
name = "closest_record"
inconclusive = "allow"
"""


def report(folder, edition):
    return (folder / edition / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def told(contents, tmp_path_factory):
    return write_bundle(tmp_path_factory.mktemp("told") / "bundle", contents(errors=ERRORS))


@pytest.mark.parametrize("edition", ["public", "internal"])
def test_both_editions_say_how_far_counts_may_be_off(told, edition):
    page = report(told, edition)
    assert '<a href="#errors">How far counts may be off</a>' in page
    assert "age with town" in page
    assert "0.057" in page
    assert "1.1 % of all rows, for 30..39 of age" in page
    assert "by simulation (4 times)" in page
    assert "to about 35 % of itself" in page
    assert "<Ghent>" not in page


def test_the_bundle_with_errors_verifies_and_reads_back(told, tmp_path):
    outcome = verify_bundle(told)
    assert outcome.ok, outcome.failures
    again = read_bundle(told)
    assert again.errors == ERRORS
    copy = write_bundle(tmp_path / "again", again)
    for edition in ("public", "internal"):
        assert report(copy, edition) == report(told, edition)


def test_without_simulations_there_is_no_section(contents, tmp_path):
    path = write_bundle(tmp_path / "bundle", contents())
    assert not (path / "internal" / "errors.json").exists()
    assert read_bundle(path).errors is None
    assert "How far counts may be off" not in report(path, "internal")


def test_where_the_release_was_stopped_only_the_house_reads_it(contents, tmp_path):
    path = write_bundle(tmp_path / "bundle", contents(REFUSING, errors=ERRORS))
    assert "How far counts may be off" not in report(path, "public")
    assert "How far counts may be off" in report(path, "internal")


def test_a_changed_file_is_found(told, tmp_path):
    text = (told / "internal" / "errors.json").read_text(encoding="utf-8")
    assert CountErrors.from_json_text(text) == ERRORS
    for wrong in (text[:-9], text.replace("0.0567", "2"), text.replace('"rows"', '"row"')):
        with pytest.raises(IntegrityError, match=r"errors\.json: was cut short or changed"):
            CountErrors.from_json_text(wrong)


def test_a_wide_table_draws_its_first_columns():
    many = tuple(
        ColumnError(name=f"column {i}", mean=0.001, largest=0.002, worst="x") for i in range(50)
    )
    drawn = count_errors(ERRORS.model_copy(update={"columns": many}))
    assert "10 further columns are not drawn" in drawn.caption
    assert len(re.findall("column [0-9]+<", drawn.svg)) == 40
