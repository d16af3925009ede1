"""Choosing and measuring pairs of columns: from the learned domain to noisy tables.

First, in wide tables, one noisy question says which pairs depend on each other. Then the columns'
codes are made so coarse that an average cell of a pair's table rises above its noise, and the
chosen pairs are measured at once. All choices rest on noisy answers and public constants.
"""

from dataclasses import dataclass

from dpsynth.encoding.coarsening import ResolutionRules, coarsened, independent_guesses
from dpsynth.encoding.domain import Domain
from dpsynth.privacy.curator import Curator
from dpsynth.privacy.queries import PairDistances, PairMarginals
from dpsynth.refinement.measured import Measured, cut_tables, pooled
from dpsynth.refinement.selection import Pairs, SelectionRules, all_pairs, chosen_pairs


@dataclass(frozen=True, kw_only=True)
class PairQuestions:
    """What the plan has set aside for pairs.

    Attributes:
        tables: label of the charge for the tables.
        tables_multiplier: its noise multiplier: the noise of k tables is this times sqrt(k).
        distances: label of the charge for the distances, or None where every pair is measured.
        one_way_std: noise in one cell of a one-way marginal, in rows.
        max_rows_per_unit: rows of one unit; noise grows with it.
    """

    tables: str
    tables_multiplier: float
    distances: str | None
    one_way_std: float
    max_rows_per_unit: int

    def table_std(self, pairs: int) -> float:
        """Noise in one cell of `pairs` tables, in rows."""
        return float(self.tables_multiplier * self.max_rows_per_unit * pairs**0.5)


def measure(
    curator: Curator,
    domain: Domain,
    *,
    rows: float,
    questions: PairQuestions,
    selection: SelectionRules | None = None,
    resolution: ResolutionRules | None = None,
) -> tuple[Domain, Measured]:
    """The domain at the resolution that pairs allow, and the measured pairs.

    Args:
        curator: answers; the charges of `questions` are used up.
        domain: what was learned about single columns, at least two of them.
        rows: the noisy row count.
        questions: labels and noise.
        selection, resolution: rules; None takes the usual ones.
    """
    selection = selection or SelectionRules()
    resolution = resolution or ResolutionRules()
    pairs = _pairs(curator, domain, rows, questions, selection, resolution)
    limit = resolution.codes(rows=rows, std=questions.table_std(len(pairs)))
    settled = coarsened(domain, limit)
    answer = curator.ask(PairMarginals(settled.codec, pairs), label=questions.tables)
    measured = Measured(
        rows=max(rows, 1.0),
        one_way=settled.one_way,
        one_way_std=questions.one_way_std,
        pairs=pairs,
        tables=cut_tables(answer.values, pairs, settled.codec.sizes),
        std=answer.std,
    )
    return settled, pooled(measured)


def _pairs(
    curator: Curator,
    domain: Domain,
    rows: float,
    questions: PairQuestions,
    selection: SelectionRules,
    resolution: ResolutionRules,
) -> Pairs:
    """Every pair, or those that the noisy distances to independence speak for."""
    columns = len(domain.one_way)
    every = all_pairs(columns)
    if questions.distances is None:
        return every
    std = questions.table_std(len(every))
    coarse = coarsened(domain, resolution.codes(rows=rows, std=std))
    guesses = independent_guesses(coarse.one_way, every, rows=max(rows, 1.0))
    answer = curator.ask(PairDistances(coarse.codec, every, guesses), label=questions.distances)
    return chosen_pairs(
        answer.values,
        std=answer.std,
        guesses=guesses,
        guess_std=questions.one_way_std,
        columns=columns,
        rules=selection,
    )
