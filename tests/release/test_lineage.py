import shutil

import pytest

from dpsynth.errors import InputError
from dpsynth.release.lineage import input_generation


def test_a_table_in_its_bundle_is_recognized(allowed, refused):
    assert input_generation(allowed / "public" / "synthetic.csv") == 1
    assert input_generation(str(refused / "internal" / "quarantine" / "synthetic.csv")) == 1


def test_any_other_table_is_taken_for_real(allowed, tmp_path, tables):
    copy = tmp_path / "synthetic.csv"
    shutil.copy(allowed / "public" / "synthetic.csv", copy)
    for data in (copy, tables["train"], "sqlite:///people.db", tmp_path / "absent.csv"):
        assert input_generation(data) == 0


def test_another_file_in_a_bundle_is_not_its_table(bundle):
    stray = bundle / "public" / "stray.csv"
    stray.write_text("age\n1\n", encoding="utf-8")
    assert input_generation(stray) == 0


def test_the_owner_may_say_more_but_not_less(allowed):
    table = allowed / "public" / "synthetic.csv"
    assert input_generation(table, declared=3) == 3
    assert input_generation("people.csv", declared=2) == 2
    with pytest.raises(InputError, match=r"of generation 1; 0 was declared"):
        input_generation(table, declared=0)
    for wrong in (-1, 1001):
        with pytest.raises(InputError, match="give 0 for real rows"):
            input_generation("people.csv", declared=wrong)
