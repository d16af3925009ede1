import pytest

from dpsynth.errors import InputError
from dpsynth.release.about import About, load_about


@pytest.fixture
def written(tmp_path):
    def write(text):
        path = tmp_path / "about.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_what_is_left_out_is_not_stated(written):
    assert load_about(written("")) == About()
    found = load_about(written('title = " Visits "\npurpose = """Two\nlines, naïve\u00a0text"""'))
    assert found.title == "Visits"
    assert found.purpose == "Two\nlines, naïve\u00a0text"
    assert found.curator == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('tite = "x"', "did you mean 'title'"),
        ('zzz = "x"', "known are contact, curator"),
        ("title = 3", "title is 3"),
        ('title = ""', "title is empty"),
        ('curator = "a\\u0000b"', "curator holds the control character U+0000"),
        (f'purpose = "{"x" * 2001}"', "at most 2000 characters"),
        (f'title = "{"x" * 201}"', "at most 200 characters"),
        ("contact = 2026-01-01", "holds a date (2026-01-01)"),
        ("contact = nan", "holds a NaN"),
        ("title = ", "not TOML"),
    ],
)
def test_a_wrong_file_is_one_clear_line(written, text, said):
    path = written(text)
    with pytest.raises(InputError) as caught:
        load_about(path)
    message = str(caught.value)
    assert said in message
    assert message.startswith(str(path))
    assert "\n" not in message
    assert len(message) < 400


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match=r"about .*No such file"):
        load_about(tmp_path / "nowhere.toml")
    with pytest.raises(InputError, match="Is a directory"):
        load_about(tmp_path)
    (tmp_path / "a.toml").write_bytes(b'title = "\xff"')
    with pytest.raises(InputError, match="not UTF-8"):
        load_about(tmp_path / "a.toml")


def test_the_mark_that_some_editors_begin_a_file_with_is_no_fault(tmp_path):
    path = tmp_path / "about.toml"
    path.write_bytes(b'\xef\xbb\xbftitle = "Visits"')
    assert load_about(path).title == "Visits"
