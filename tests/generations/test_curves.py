"""Each figure on tables in which the answer is known."""

import math

import numpy as np
import pandas as pd
import pytest

from dpsynth.errors import InputError
from dpsynth.generations.curves import MEASURES, Yardstick
from dpsynth.schema import Column, Schema

ROWS = 400
SCHEMA = Schema(
    columns=(
        Column(name="kind", kind="categorical"),
        Column(name="size", kind="numeric"),
        Column(name="label", kind="categorical"),
    )
)


def table(rows: int = ROWS, seed: int = 0) -> pd.DataFrame:
    """Ten kinds, each a tenth; a size; a label that follows from it."""
    rng = np.random.default_rng(seed)
    size = rng.normal(10, 2, rows)
    return pd.DataFrame(
        {
            "kind": np.array(list("abcdefghij"))[np.arange(rows) % 10],
            "size": size,
            "label": np.where(size + rng.normal(0, 0.5, rows) > 10, "big", "small"),
        }
    )


def yardstick(target: str | None = "label", schema: Schema = SCHEMA) -> Yardstick:
    return Yardstick(real=table(), holdout=table(100, seed=1), schema=schema, target=target)


def figures(stick: Yardstick, made: pd.DataFrame) -> dict[str, float]:
    """Those figures that have a meaning."""
    return {key: value for key, value in stick.measure(made).items() if value is not None}


def test_the_real_table_has_everything() -> None:
    found = yardstick().measure(table())
    assert set(found) == {measure.key for measure in MEASURES}
    tstr = found.pop("tstr")
    assert tstr is not None and tstr > 0.9
    assert found == pytest.approx(
        dict.fromkeys(found, 1.0) | {"tvd2": 0.0, "log_variance": 0.0}, abs=1e-12
    )


def test_lost_levels_are_lost_support() -> None:
    made = table()
    made["kind"] = made["kind"].replace({"i": "a", "j": "a"})
    found = figures(yardstick(), made)
    whole = len(yardstick().copies())
    assert found["support"] == pytest.approx((whole - 2) / whole)
    assert found["entropy_ratio"] < 1.0
    assert found["variance_ratio"] == pytest.approx(1.0)


def test_shrunk_numbers_lose_variance_and_tails() -> None:
    made = table()
    made["size"] = made["size"].mean() + (made["size"] - made["size"].mean()) / 2
    found = figures(yardstick(), made)
    assert found["log_variance"] == pytest.approx(math.log(0.25))
    assert found["variance_ratio"] == pytest.approx(0.25)
    assert found["tail_mass"] == 0.0
    assert found["coverage"] < 0.99


def test_tail_mass_counts_rare_levels_too() -> None:
    real = table()
    real["kind"] = np.where(np.arange(ROWS) < 12, "rare", real["kind"])
    stick = Yardstick(real=real, holdout=table(100), schema=SCHEMA)
    made = real.copy()
    # 3 % of one column are rare, 2 % of the other are its tails: 5 % in all, 3 of them gone.
    made["kind"] = made["kind"].replace("rare", "a")
    assert stick.measure(made)["tail_mass"] == pytest.approx(2 / 5)


def test_repeats_distance_and_prediction() -> None:
    stick = yardstick()
    made = table()
    repeated = pd.concat([made.iloc[:100]] * 4, ignore_index=True)
    assert stick.measure(repeated)["distinct_share"] == pytest.approx(0.25)
    dealt = made.assign(label=np.random.default_rng(3).permutation(made["label"]))
    broken, whole = figures(stick, dealt), figures(stick, made)
    assert broken["tvd2"] > 0.05 > whole["tvd2"]
    assert abs(broken["tstr"] - 0.5) < 0.2
    assert figures(stick, made.assign(kind="z"))["tvd2"] > 0.5, "a label that no real row has"


def test_a_target_of_numbers_is_scored_by_rank() -> None:
    found = yardstick(target="size").measure(table())["tstr"]
    assert found is not None and found > 0.6


def test_without_a_target_there_is_no_such_figure() -> None:
    assert yardstick(target=None).measure(table())["tstr"] is None


def test_constant_numbers_are_skipped() -> None:
    real, held = table().assign(flat=3), table(100, 1).assign(flat=3)
    schema = Schema(columns=(*SCHEMA.columns, Column(name="flat", kind="integer")))
    stick = Yardstick(real=real, holdout=held, schema=schema)
    made = real.assign(size=real["size"].mean() + (real["size"] - real["size"].mean()) / 2)
    assert stick.measure(made)["variance_ratio"] == pytest.approx(0.25)
    alone = Schema(columns=(SCHEMA.columns[0], Column(name="flat", kind="integer")))
    stick = Yardstick(real=real, holdout=held, schema=alone)
    assert stick.measure(real)["log_variance"] is None
    assert stick.measure(real)["variance_ratio"] is None


def test_gone_variance_stays_a_number() -> None:
    found = yardstick().measure(table().assign(size=10.0))
    assert found["log_variance"] is not None and -30 < found["log_variance"] < -20


def test_missing_cells_are_a_level_of_their_own() -> None:
    real = table()
    real.loc[::5, "kind"] = None
    stick = Yardstick(real=real, holdout=table(100), schema=SCHEMA)
    assert stick.measure(table())["support"] == pytest.approx(1 - 1 / len(stick.copies()))


def test_copies_count_each_cell() -> None:
    copies = yardstick().copies()
    assert copies.sum() == 3 * ROWS
    assert sorted(copies[:10]) == [ROWS / 10] * 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": "lable"}, "no column of the table.*did you mean 'label'"),
        ({"real": table(10)}, "10 rows for generation 0 and 100 held out are too few"),
        ({"holdout": table(1)}, "1 held out are too few"),
        ({"schema": Schema(columns=SCHEMA.columns[:1])}, "one column to model"),
        ({"real": table().assign(label="big"), "target": "label"}, "cannot be predicted"),
        ({"real": table().assign(size=1.0), "target": "size"}, "cannot be predicted"),
    ],
)
def test_what_cannot_be_measured_is_refused(change: dict[str, object], message: str) -> None:
    given = {"real": table(), "holdout": table(100, 1), "schema": SCHEMA, **change}
    with pytest.raises(InputError, match=message) as caught:
        Yardstick(**given)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
