import csv
import gzip
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpsynth.csv_text import line_of_row, read_csv
from dpsynth.errors import InputError


def written(folder: Path, content: bytes | str, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refused(path: Path, match: str) -> None:
    with pytest.raises(InputError, match=match) as caught:
        read_csv(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message


def test_every_cell_stays_the_text_it_is(tmp_path: Path):
    path = written(tmp_path, 'a,größe\n1,\n"x\ny","007"\nNA," ""q"", "\n')
    found = read_csv(path)
    assert found.to_pydict() == {"a": ["1", "x\ny", "NA"], "größe": ["", "007", ' "q", ']}
    assert all(str(field.type) == "string" for field in found.schema)


@pytest.mark.parametrize(
    "content",
    [
        "a,b\n1,2\n",
        "a,b\n1,2",
        "a,b\r\n1,2\r\n",
        "\ufeffa,b\n1,2\n",
        '\ufeff"a",b\n1,2\n',
        "\n\na,b\n\n1,2\n\n\n",
        '"a","b"\n"1","2"\n',
    ],
)
def test_harmless_differences_of_files(tmp_path: Path, content: str):
    assert read_csv(written(tmp_path, content)).to_pydict() == {"a": ["1"], "b": ["2"]}


def test_tabs_and_gzip(tmp_path: Path):
    one = {"a": ["1,5"], "b": ["2"]}
    assert read_csv(written(tmp_path, "a\tb\n1,5\t2\n", "t.tsv")).to_pydict() == one
    packed = gzip.compress(b"a\tb\n1,5\t2\n")
    assert read_csv(written(tmp_path, packed, "T.TSV.gz")).to_pydict() == one


def test_a_quoted_empty_cell_is_a_row_of_a_one_column_file(tmp_path: Path):
    assert read_csv(written(tmp_path, 'a\n""\n1\n')).to_pydict() == {"a": ["", "1"]}


def test_a_comma_in_the_quoted_name_of_a_lone_column_is_fine(tmp_path: Path):
    assert read_csv(written(tmp_path, '"income, total"\n1\n')).to_pydict() == {
        "income, total": ["1"]
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file is empty"),
        ("\n\n", "only blank lines"),
        ("\ufeff", "only blank lines"),
        ("a,b\n", "a header but no rows"),
        ("a,b\n1,2\n3\n", "line 3: expected 2 cells, found 1"),
        ("a,b\n1,2\n3,4,5\n", "line 3: expected 2 cells, found 3"),
        ('a,b\n"1\n1",2\n\n3,4,5\n', "line 5: expected 2 cells, found 3"),
        (
            "a,b\n1,\xe9\n".encode("latin-1"),
            r"line 2: byte 0xe9 \(the line's byte 3\) is not UTF-8; save the file as",
        ),
        ("a,\xe9\n1,2\n".encode("latin-1"), "line 1: byte 0xe9 .*is not UTF-8"),
        ("a,b\n1,2\n".encode("utf-16"), "line 1: byte 0xff .*is not UTF-8"),
        ("a,b\n1,2\n".encode("utf-16-le"), "NUL bytes, as in UTF-16"),
        ("a,a\n1,2\n", "2 columns are named 'a'"),
        ("a,,c\n1,2,3\n", "column 2 has no name"),
        (",a\n0,2\n", "column 1 has no name.*saved index"),
        ("a; b\n1;2\n", "looks separated by semicolons"),
        ("a\tb\n1\t2\n", "looks separated by tabs"),
        ('a,b\n1,2\n3,"open\n4,5\n6,7\n', "after line .*unexpected end of data; close every quote"),
        ('a,b\n1,2\n3,"open', "unexpected end of data"),
        ('a,b\n1,2\n3,"open\n', "unexpected end of data"),
    ],
)
def test_faulty_files_are_refused_by_line(tmp_path: Path, content: bytes | str, message: str):
    refused(written(tmp_path, content), message)


def test_a_wrong_byte_far_down_is_found(tmp_path: Path):
    content = b"a,b\n" + b"1,2\n" * 20_000 + b"1,\xe9\n"
    refused(written(tmp_path, content), "line 20002: byte 0xe9")


def test_semicolons_in_names_are_fine_where_commas_separate(tmp_path: Path):
    assert read_csv(written(tmp_path, "a;b,c\n1,2\n")).to_pydict() == {"a;b": ["1"], "c": ["2"]}


def test_commas_in_a_file_of_tabs_are_noticed(tmp_path: Path):
    refused(written(tmp_path, "a,b\n1,2\n", "t.tsv"), "looks separated by commas")


def test_paths_that_hold_no_table(tmp_path: Path):
    refused(tmp_path / "none.csv", "no such file")
    (tmp_path / "folder.csv").mkdir()
    refused(tmp_path / "folder.csv", "is a folder")
    refused(written(tmp_path, "a,b", "t.xlsx"), r"unknown suffix '\.xlsx'; allowed: \.csv")
    refused(written(tmp_path, "a,b", "t"), "unknown suffix ''")


def test_broken_gzip_is_refused(tmp_path: Path):
    refused(written(tmp_path, "a,b\n1,2\n", "t.csv.gz"), "cannot read the header")
    packed = gzip.compress("\n".join(["a,b", *(f"{i},{i * i}" for i in range(60_000))]).encode())
    refused(written(tmp_path, packed[:-1000], "u.csv.gz"), "cannot read: .*end-of-stream")
    latin = gzip.compress("a,b\n1,2\n1,\xe9\n".encode("latin-1"))
    refused(written(tmp_path, latin, "v.csv.gz"), "line 3: byte 0xe9")


def test_a_line_break_in_the_last_row_is_no_fault(tmp_path: Path):
    found = read_csv(written(tmp_path, 'a,b\n1,2\n3,"x\ny"\n'))
    assert found.to_pydict() == {"a": ["1", "3"], "b": ["2", "x\ny"]}


def test_what_the_fast_reader_cannot_read_is_refused_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # Sound by the slow check, but one row is longer than the fast reader's block.
    monkeypatch.setattr("dpsynth.csv_text._BLOCK", 64)
    path = written(tmp_path, f"a,b\n1,{'x' * 500}\n1,2\n")
    refused(path, r"not a readable CSV file \(straddling object")


def test_a_path_the_system_refuses_gets_its_reason():
    refused(Path("x" * 5000 + ".csv"), "cannot read: File name too long|no such file")


def test_cells_longer_than_a_megabyte_are_read(tmp_path: Path):
    before = csv.field_size_limit()
    found = read_csv(written(tmp_path, f"a,b\n1,{'x' * 3_000_000}\n1,2\n"))
    assert len(found["b"][0].as_py()) == 3_000_000
    assert csv.field_size_limit() == before


def test_the_line_of_a_row_counts_blank_lines_and_breaks(tmp_path: Path):
    path = written(tmp_path, 'a,b\n\n"1\n1",2\n3,4\n')
    assert [line_of_row(str(path), row) for row in (0, 1, 2)] == [3, 5, None]
    assert line_of_row("DataFrame", 0) is None
    assert line_of_row("sqlite:///\x00.csv", 0) is None
    assert line_of_row(str(written(tmp_path, b"\xff", "u.csv")), 0) is None


cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00\r"), max_size=5)


@settings(derandomize=True, deadline=None, max_examples=50)
@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=10))
def test_whatever_the_csv_module_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
):
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([("a", "b"), *rows])
    path = written(tmp_path_factory.mktemp("csv"), text.getvalue())
    found = read_csv(path).to_pydict()
    assert list(zip(found["a"], found["b"], strict=True)) == rows
