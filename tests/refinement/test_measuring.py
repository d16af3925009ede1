"""From a domain and a curator to measured pairs: what is asked, what it costs, how noisy it is."""

import numpy as np
import pandas as pd
import pytest

from dpsynth.encoding.coarsening import ResolutionRules
from dpsynth.encoding.codec import CategoryCodec, TableCodec
from dpsynth.encoding.domain import Domain
from dpsynth.errors import BudgetExceeded
from dpsynth.privacy.curator import Curator
from dpsynth.privacy.events import GaussianEvent
from dpsynth.privacy.ledger import Charge, Ledger
from dpsynth.privacy.noise import seeded_noise
from dpsynth.privacy.rows import PrivateRows
from dpsynth.refinement.measuring import PairQuestions, measure
from dpsynth.refinement.selection import SelectionRules, all_pairs
from dpsynth.schema import Column
from dpsynth.table import Table

ROWS, COLUMNS, CODES = 4_000, 6, 8
LABELS = tuple(f"v{k}" for k in range(CODES))


def _codes() -> np.ndarray:
    """Columns 0 and 1 agree, and 2 and 3; the others go their own way."""
    codes = np.random.default_rng(0).integers(0, CODES, (ROWS, COLUMNS))
    codes[:, 1], codes[:, 3] = codes[:, 0], codes[:, 2]
    return codes


def _domain() -> Domain:
    def part(name: str) -> CategoryCodec:
        return CategoryCodec(
            column=Column(name=name, kind="categorical", categories=LABELS),
            categories=LABELS,
            codes=np.arange(CODES),
            weights=np.ones(CODES),
            other=None,
            missing=None,
            fallback=0,
        )

    parts = tuple(part(f"c{k}") for k in range(COLUMNS))
    return Domain(TableCodec(parts), tuple(np.full(CODES, 1 / CODES) for _ in parts), ())


def _curator(*, cap: int = 1, multiplier: float = 1.0) -> Curator:
    codes = _codes()
    frame = pd.DataFrame({f"c{k}": np.array(LABELS)[codes[:, k]] for k in range(COLUMNS)})
    frame["id"] = np.arange(ROWS) // 2
    rows = PrivateRows(
        Table.from_frame(frame),
        unit="id" if cap > 1 else None,
        max_rows_per_unit=cap,
        rng=np.random.default_rng(1),
    )
    event = GaussianEvent(noise_multiplier=multiplier)
    book = Ledger.open("sqlite://", dataset="t", epsilon=1e6, delta=0.1)
    reserved = book.reserve([Charge("far", event), Charge("tables", event)], release="r")
    return Curator(rows, reservation=reserved, noise=seeded_noise(0))


def _questions(*, asks: bool, cap: int = 1, multiplier: float = 1.0) -> PairQuestions:
    return PairQuestions(
        tables="tables",
        tables_multiplier=multiplier,
        distances="far" if asks else None,
        one_way_std=1.0,
        max_rows_per_unit=cap,
    )


def test_without_a_question_about_distances_every_pair_is_measured() -> None:
    curator = _curator()
    _, measured = measure(curator, _domain(), rows=ROWS, questions=_questions(asks=False))
    assert measured.pairs == all_pairs(COLUMNS)
    with pytest.raises(BudgetExceeded):  # the charge of the tables is used up
        measure(curator, _domain(), rows=ROWS, questions=_questions(asks=False))


def test_with_it_the_strong_pairs_are_measured() -> None:
    rules = SelectionRules(all_up_to=1, least=0.1, most=3.0, sigmas=20.0)
    curator = _curator()
    _, measured = measure(
        curator, _domain(), rows=ROWS, questions=_questions(asks=True), selection=rules
    )
    assert measured.pairs == ((0, 1), (2, 3))
    with pytest.raises(BudgetExceeded):
        measure(curator, _domain(), rows=ROWS, questions=_questions(asks=True))


@pytest.mark.parametrize("cap", [1, 2])
def test_the_noise_is_what_was_foreseen_and_what_is_there(cap: int) -> None:
    """Standard deviation of all cells' errors, about 1,000 of them, within 10 %."""
    questions = _questions(asks=False, cap=cap, multiplier=2.0)
    rules = ResolutionRules(least=CODES, most=CODES)
    _, measured = measure(
        _curator(cap=cap, multiplier=2.0),
        _domain(),
        rows=ROWS,
        questions=questions,
        resolution=rules,
    )
    assert measured.std == pytest.approx(questions.table_std(15), rel=1e-6)
    assert measured.std == pytest.approx(2.0 * cap * np.sqrt(15), rel=1e-6)
    codes, errors = _codes(), []
    for (i, j), table in zip(measured.pairs, measured.tables, strict=True):
        exact = np.bincount(codes[:, i] * CODES + codes[:, j], minlength=CODES**2)
        errors.append(table.ravel() - exact)
    assert np.std(np.concatenate(errors)) == pytest.approx(measured.std, rel=0.1)


def test_tables_are_no_finer_than_their_noise_allows() -> None:
    rules = ResolutionRules(least=2, most=CODES, sigmas=2.0)
    sizes = []
    for multiplier in (0.1, 100.0):
        domain, measured = measure(
            _curator(multiplier=multiplier),
            _domain(),
            rows=ROWS,
            questions=_questions(asks=False, multiplier=multiplier),
            resolution=rules,
        )
        assert domain.codec.sizes == measured.sizes
        sizes.append(max(measured.sizes))
    assert sizes == [CODES, 2]
