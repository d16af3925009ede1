"""What each generation is fitted to, mode by mode, seen by makers that write down what they get."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpsynth.errors import InputError
from dpsynth.generations.chain import Generation, Start, chain, generation_one
from dpsynth.generations.makers import multinomial_refit
from dpsynth.generations.modes import MOST_MODES, Mode, parse_mode, parse_modes


class Watched:
    """A maker whose rows say which call made them; real rows are numbered from 0."""

    def __init__(self) -> None:
        self.seen: list[list[int]] = []

    def __call__(self, frame: pd.DataFrame, rows: int, rng: np.random.Generator) -> pd.DataFrame:
        self.seen.append(frame["row"].tolist())
        return pd.DataFrame({"row": np.full(rows, -len(self.seen))})


def start(rows: int, spare: int = 0) -> Start:
    return Start(
        zero=pd.DataFrame({"row": np.arange(rows)}),
        spare=pd.DataFrame({"row": rows + np.arange(spare)}),
    )


def run(text: str, generations: int, begin: Start) -> tuple[list[Generation], list[list[int]]]:
    watched = Watched()
    rng = np.random.default_rng(4)
    mode = parse_mode(text)
    links = chain(begin, mode=mode, generations=generations, make=watched, rng=rng)
    return list(links), watched.seen


def test_replace_sees_real_rows_once() -> None:
    links, seen = run("replace", 4, start(10))
    assert seen == [list(range(10)), [-1] * 10, [-2] * 10, [-3] * 10]
    assert [one.real_rows for one in links] == [10, 0, 0, 0]


def test_accumulate_keeps_everything() -> None:
    links, seen = run("accumulate", 4, start(5))
    assert seen[3] == [*range(5), *[-1] * 5, *[-2] * 5, *[-3] * 5]
    assert [one.training_rows for one in links] == [5, 10, 15, 20]
    assert [one.real_rows for one in links] == [5, 5, 5, 5]
    assert [len(one.table) for one in links] == [5, 5, 5, 5]


def test_fresh_rows_are_dealt_once_and_the_rest_is_the_last_table() -> None:
    links, seen = run("fresh:0.3", 4, start(10, spare=9))
    hands = [[row for row in rows if row >= 0] for rows in seen[1:]]
    assert sorted(row for hand in hands for row in hand) == list(range(10, 19)), (
        "each spare row in one generation"
    )
    assert [[row for row in rows if row < 0] for rows in seen[1:]] == [[-1] * 7, [-2] * 7, [-3] * 7]
    assert [(one.training_rows, one.real_rows) for one in links[1:]] == [(10, 3)] * 3


def test_without_spare_rows_those_of_generation_0_are_dealt_and_dealt_again() -> None:
    begin = start(10)
    _, seen = run("fresh:0.4", 5, begin)
    hands = [[row for row in rows if row >= 0] for rows in seen[1:]]
    assert all(len(set(hand)) == 4 for hand in hands)
    assert not set(hands[0]) & set(hands[1])
    assert not begin.again(parse_mode("fresh:0.4"), 3)
    assert begin.again(parse_mode("fresh:0.4"), 4)
    assert not begin.again(parse_mode("replace"), 99)


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(["replace", "accumulate", "fresh:0.25", "fresh:0.7"]),
    st.integers(1, 6),
    st.integers(8, 40),
)
def test_every_chain_is_whole(text: str, generations: int, rows: int) -> None:
    links, seen = run(text, generations, start(rows))
    assert [one.number for one in links] == list(range(1, generations + 1))
    assert all(len(one.table) == rows for one in links)
    assert [len(rows) for rows in seen] == [one.training_rows for one in links]
    assert [sum(row >= 0 for row in rows) for rows in seen] == [one.real_rows for one in links]
    assert all(-number in seen[number] for number in range(1, generations)), "each sees the last"


def test_generation_1_can_be_shared() -> None:
    watched, rng = Watched(), np.random.default_rng(0)
    begin = start(6)
    first = generation_one(begin, make=watched, rng=rng)
    links = chain(
        begin, mode=parse_mode("replace"), generations=2, make=watched, rng=rng, first=first
    )
    assert next(links) is first
    assert next(links).table["row"].tolist() == [-2] * 6
    assert len(watched.seen) == 2


def test_too_few_rows_set_aside_to_be_fresh_are_refused() -> None:
    mode = parse_mode("fresh:0.5")
    start(10, spare=10).check_fresh(mode, 3)
    with pytest.raises(InputError, match="4 generations of 10 rows take 15 fresh real rows"):
        start(10, spare=10).check_fresh(mode, 4)
    start(10).check_fresh(mode, 4)  # none was set aside: those of generation 0 are dealt
    with pytest.raises(InputError, match="too few for this share"):
        start(10).check_fresh(parse_mode("fresh:0.01"), 4)


def test_the_same_seed_makes_the_same_chain() -> None:
    frame = pd.DataFrame({"a": np.arange(30) % 7, "b": np.arange(30)})
    begin = Start(zero=frame, spare=frame.iloc[:0])
    ends = []
    for seed in (1, 1, 2):
        rng = np.random.default_rng(seed)
        mode = parse_mode("fresh:0.5")
        *_, last = chain(begin, mode=mode, generations=4, make=multinomial_refit, rng=rng)
        ends.append(last.table)
    assert ends[0].equals(ends[1])
    assert not ends[0].equals(ends[2])


@pytest.mark.parametrize("text", ["replace", "accumulate", "fresh:0.25", "fresh:0.5"])
def test_modes_are_written_as_they_are_read(text: str) -> None:
    assert parse_mode(text).name == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "give replace, accumulate or fresh:SHARE"),
        ("replaced", "'replaced' is not known"),
        ("replace:0.5", "'replace:0.5' is not known"),
        ("fresh", "no share of fresh rows"),
        ("fresh:", "no share"),
        ("fresh:half", "no share"),
        ("fresh:nan", "no share"),
        ("fresh:0", "share 0 of fresh real rows is not between 0 and 1"),
        ("fresh:1", "share 1 "),
        ("fresh:-0.5", "share -0.5 "),
        ("fresh:inf", "share inf "),
    ],
)
def test_other_modes_are_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        parse_mode(text)
    assert "\n" not in str(caught.value)


def test_modes_that_do_not_go_together() -> None:
    with pytest.raises(InputError, match=r"'fresh:0\.5' is given twice"):
        parse_modes(["fresh:0.5", "replace", "fresh:0.50"])
    with pytest.raises(InputError, match="0 modes were given"):
        parse_modes([])
    with pytest.raises(InputError, match="7 modes were given"):
        parse_modes([f"fresh:0.{n}" for n in range(1, MOST_MODES + 2)])
    with pytest.raises(InputError, match="takes no share"):
        Mode(kind="replace", share=0.5)
