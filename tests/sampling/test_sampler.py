"""Frames in parts, conditions on a fitted model, tables filled, files written part by part."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dpsynth.errors import InputError
from dpsynth.fitted import FittedModel
from dpsynth.sampling import blocks, sampler
from dpsynth.sampling.writing import write_parts
from dpsynth.table import Table

from .conftest import people


def _gaps(frame: pd.DataFrame, name: str, every: int) -> pd.DataFrame:
    return frame.assign(**{name: frame[name].where(np.arange(len(frame)) % every != 0, None)})


def test_parts_are_bounded_and_add_up(fitted: FittedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampler, "FRAME_ROWS", 100)
    parts = list(fitted.sample_parts(250, seed=1))
    assert [len(p.frame) for p in parts] == [84, 83, 83]
    assert np.concatenate([p.frame["person_id"] for p in parts]).tolist() == list(range(1, 251))
    whole = fitted.sample(250, seed=1)
    pd.testing.assert_frame_equal(pd.concat([p.frame for p in parts], ignore_index=True), whole)
    assert list(whole.columns) == list(fitted.names)


def test_parts_under_a_condition(fitted: FittedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampler, "BLOCK", 100)
    made = fitted.sample_where({"active": "true"}, 250, seed=1)
    assert len(made.frame) == 250
    assert made.frame["active"].all()
    assert made.frame.index.tolist() == list(range(250))
    assert 0.1 * 250 < made.effective_sample_size <= 250
    assert 0.5 < made.distinct_share <= 1
    assert made.drawn >= 3 * 10_000
    plain = fitted.sample(20_000, seed=2)
    share = plain["active"].fillna(False).astype(bool).mean()
    assert made.probability == pytest.approx(share, abs=0.02)


def test_a_generator_without_columns_rejects(
    fitted: FittedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = {"active": "false", "age": "20..60"}
    usual = fitted.sample_where(where, 3000, seed=1)
    monkeypatch.setattr(sampler.TableSampler, "columns", None)
    bare = replace(fitted)  # a sampler of its own, which has not looked for columns yet
    twin = bare.sample_where(where, 3000, seed=1)
    assert twin.frame["age"].between(20, 60).all()
    assert twin.drawn > usual.drawn / 10
    assert twin.probability == pytest.approx(usual.probability, rel=0.1)
    error = np.hypot(*(f["age"].astype(float).std() / 3000**0.5 for f in (usual.frame, twin.frame)))
    assert abs(usual.frame["age"].mean() - twin.frame["age"].mean()) < 5 * error
    with pytest.raises(InputError, match="'autoregressive' cannot fill cells"):
        bare.fill(people(5))


@pytest.mark.parametrize("name", ["age", "sex", "income", "joined", "active"])
def test_gaps_are_filled_and_the_rest_is_untouched(fitted: FittedModel, name: str) -> None:
    whole = people(200).assign(sex=lambda f: f["sex"].fillna("male"))
    whole["active"] = whole["active"].fillna(True)
    filled = fitted.fill(_gaps(whole, name, 3), seed=1)
    assert not filled.isna().any().any()
    for column in whole.columns:
        there = np.arange(200) % 3 != 0 if column == name else np.full(200, True)
        assert filled[column][there].tolist() == whole[column][there].tolist()


def test_filling_leans_on_the_other_cells(fitted: FittedModel) -> None:
    """Income grows with age; filled incomes of the old are larger, those of shuffled rows alike."""
    frame = pd.DataFrame({"age": [20] * 500 + [75] * 500})
    filled = fitted.fill(frame, seed=1)
    young, old = filled["income"][:500].mean(), filled["income"][500:].mean()
    assert old > 1.5 * young
    assert list(filled.columns) == list(fitted.names)
    assert filled["person_id"].tolist() == list(range(1, 1001))
    backwards = fitted.fill(pd.DataFrame({"income": [300.0] * 500 + [6000.0] * 500}), seed=1)
    assert backwards["age"][500:].mean() > backwards["age"][:500].mean() + 5


def test_texts_stay_texts(fitted: FittedModel, tmp_path: Path) -> None:
    path = tmp_path / "partial.csv"
    path.write_text("person_id,age,sex,active\n007,40.0,,yes\n,,male,\n2,,a|b,no\n")
    filled = fitted.fill_cells(Table.read(path), seed=1)
    frame = filled.frame
    assert frame["person_id"].tolist() == ["007", "1", "2"]
    assert frame["age"][0] == "40.0"
    assert all(text.isdigit() for text in frame["age"][1:])
    assert frame["active"][[0, 2]].tolist() == ["yes", "no"]
    assert frame["active"][1] in ("True", "False")
    assert frame["sex"][1:].tolist() == ["male", "a|b"]
    assert filled.cells == 1 + 2 + 1 + 3 + 3
    assert len(filled.effective_candidates) == 3


def test_identifiers_are_kept_or_fresh(fitted: FittedModel) -> None:
    frame = people(4).assign(person_id=pd.array([2, None, 1, None], dtype="Int64"))
    assert fitted.fill(frame, seed=1)["person_id"].tolist() == [2, 3, 1, 4]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"age": 17}, r"row 2, column 'age': '17' is not in the model's domain; allowed: 18 to 90"),
        ({"income": 20_001.0}, "column 'income': '20001.0' is not in the model's domain"),
        ({"sex": "fem"}, r"row 2, column 'sex': 'fem' is not .* allowed: female, male, a\|b"),
        ({"joined": "2022-01-01"}, "'2022-01-01' is not in .* allowed: 2020-01-01 to 2021-12-31"),
        ({"joined": "soon"}, "row 2, column 'joined': 'soon' does not fit kind 'datetime'"),
    ],
)
def test_cells_outside_the_domain(
    fitted: FittedModel, changes: dict[str, object], message: str
) -> None:
    frame = people(3)
    for name, value in changes.items():
        frame[name] = frame[name].astype(object)
        frame.loc[1, name] = value
    with pytest.raises(InputError, match=message) as caught:
        fitted.fill(frame)
    assert "\n" not in str(caught.value)


def test_a_column_that_the_model_does_not_know(fitted: FittedModel) -> None:
    with pytest.raises(InputError, match=r"column 'agee' is not in the model \(did you mean 'age'"):
        fitted.fill(people(3).rename(columns={"age": "agee"}))
    with pytest.raises(InputError, match="candidates is 0"):
        fitted.fill_cells(people(3), candidates=0)


def test_filling_repeats_under_a_seed(fitted: FittedModel) -> None:
    frame = people(50)[["age", "sex"]]
    pd.testing.assert_frame_equal(fitted.fill(frame, seed=3), fitted.fill(frame, seed=3))
    assert not fitted.fill(frame, seed=3).equals(fitted.fill(frame, seed=4))


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.parquet"])
def test_a_table_written_in_parts_reads_back_whole(
    fitted: FittedModel, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampler, "FRAME_ROWS", 40)
    frames = [part.frame for part in fitted.sample_parts(100, seed=1)]
    frames[1]["active"] = frames[1]["active"].fillna(True).astype(bool)  # types differ by part
    write_parts(iter(frames), tmp_path / name, columns=fitted.schema().columns)
    whole = pd.concat(frames, ignore_index=True)
    if name.endswith(".parquet"):
        found = pd.read_parquet(tmp_path / name)
        assert found["active"].dtype == "boolean"
    else:
        found = pd.read_csv(tmp_path / name)
    assert found["person_id"].tolist() == list(range(1, 101))
    pd.testing.assert_frame_equal(
        found[["age", "income"]].astype(float), whole[["age", "income"]].astype(float)
    )
    assert found["joined"].tolist() == whole["joined"].tolist()
    assert found["sex"].isna().tolist() == whole["sex"].isna().tolist()


def test_a_table_that_breaks_off_leaves_nothing(fitted: FittedModel, tmp_path: Path) -> None:
    def broken() -> object:
        yield fitted.sample(10, seed=1)
        raise InputError("no more")

    with pytest.raises(InputError, match="no more"):
        write_parts(broken(), tmp_path / "t.csv", columns=fitted.schema().columns)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_a_frame_is_a_few_blocks() -> None:
    assert sampler.FRAME_ROWS == 4 * blocks.BLOCK
