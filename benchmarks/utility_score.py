"""Scores a synthetic table against real training and held-out rows, every system the same way.

    python benchmarks/utility_score.py TRAIN.csv TEST.csv SYNTHETIC.csv --target COLUMN

Prints one JSON object:
  tvd1, tvd2, tvd3  mean total variation distance of the 1-, 2- and 3-way marginals to TRAIN's;
                    numbers of more than 20 values are cut at TRAIN's quantiles into 20 bins;
                    missing and unknown values are one more bin; 100 triples, always the same
  tvd*_floor        the same of TEST to TRAIN: what sampling alone costs
  tstr_auc          ROC AUC on TEST of gradient boosting trained on SYNTHETIC (one against the rest,
                    mean over the classes, where there are more than two)
  trtr_auc          the same trained on TRAIN
  c2st_auc          ROC AUC of gradient boosting that tells SYNTHETIC from TEST, three-fold
                    cross-validated; 0.5 is perfect
"""

import argparse
import itertools
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict

BINS, TRIPLES, LEVELS = 20, 100, 250
Codes = dict[str, np.ndarray]


class Coder:
    """Turns the cells of one column into bin numbers, learnt from the training rows."""

    def __init__(self, column: "pd.Series[Any]") -> None:
        self.numeric = pd.api.types.is_numeric_dtype(column)
        values = self._clean(column)
        self.cuts: np.ndarray | None = None
        if self.numeric and column.nunique() > BINS:
            inner = np.arange(1, BINS) / BINS
            self.cuts = np.unique(np.quantile(values.dropna(), inner))
            self.size = len(self.cuts) + 2
        else:
            self.values = pd.Index(sorted(values.dropna().unique()))
            self.size = len(self.values) + 1

    def _clean(self, column: "pd.Series[Any]") -> "pd.Series[Any]":
        if self.numeric:
            return pd.to_numeric(column, errors="coerce").astype(float)
        return column.astype(str)

    def codes(self, column: "pd.Series[Any]") -> np.ndarray:
        """Bins 0 to size - 1; the last is for what is missing or unknown."""
        values = self._clean(column)
        if self.cuts is None:
            found = self.values.get_indexer(values)
            return np.where(found < 0, self.size - 1, found)
        bins = np.searchsorted(self.cuts, values.to_numpy(), side="right")
        return np.where(values.isna(), self.size - 1, bins)


def distance(one: Codes, other: Codes, sizes: dict[str, int], columns: Sequence[str]) -> float:
    """Total variation distance of one marginal, 0 to 1."""
    shares = []
    for codes in (one, other):
        cell = np.zeros(len(codes[columns[0]]), dtype=np.int64)
        for column in columns:
            cell = cell * sizes[column] + codes[column]
        cells = math.prod(sizes[column] for column in columns)
        shares.append(np.bincount(cell, minlength=cells) / len(cell))
    return float(np.abs(shares[0] - shares[1]).sum() / 2)


def mean_distances(one: Codes, other: Codes, sizes: dict[str, int]) -> dict[str, float]:
    """The mean over all single columns, all pairs, and the same 100 of the triples."""
    triples: list[tuple[str, ...]] = list(itertools.combinations(sizes, 3))
    if len(triples) > TRIPLES:
        drawn = np.random.default_rng(0).choice(len(triples), TRIPLES, replace=False)
        triples = [triples[i] for i in drawn]
    sets: dict[str, list[tuple[str, ...]]] = {
        "tvd1": [(column,) for column in sizes],
        "tvd2": list(itertools.combinations(sizes, 2)),
        "tvd3": triples,
    }
    return {
        name: float(np.mean([distance(one, other, sizes, columns) for columns in chosen]))
        for name, chosen in sets.items()
        if chosen
    }


def marginal_scores(
    train: pd.DataFrame, test: pd.DataFrame, made: pd.DataFrame
) -> dict[str, float]:
    """The distances of the made rows, and of the held-out ones as the floor."""
    coders = {name: Coder(train[name]) for name in train.columns}
    sizes = {name: coder.size for name, coder in coders.items()}
    base, held, drawn = (
        {name: coder.codes(frame[name]) for name, coder in coders.items()}
        for frame in (train, test, made)
    )
    floor = mean_distances(base, held, sizes)
    return mean_distances(base, drawn, sizes) | {f"{k}_floor": v for k, v in floor.items()}


class Features:
    """Tables as numbers for gradient boosting; text becomes the rank of its frequency."""

    def __init__(self, train: pd.DataFrame) -> None:
        self.columns = list(train.columns)
        self.ranks: dict[str, dict[str, int]] = {}
        for name in self.columns:
            if not pd.api.types.is_numeric_dtype(train[name]):
                most = train[name].astype(str).value_counts().index[:LEVELS]
                self.ranks[name] = {level: rank for rank, level in enumerate(most)}

    def matrix(self, frame: pd.DataFrame) -> np.ndarray:
        return np.column_stack([self._column(name, frame[name]) for name in self.columns])

    def _column(self, name: str, column: "pd.Series[Any]") -> np.ndarray:
        if name not in self.ranks:
            return pd.to_numeric(column, errors="coerce").to_numpy(float)
        ranks = self.ranks[name]
        return column.astype(str).map(ranks).fillna(len(ranks)).to_numpy(float)

    def trees(self, iterations: int) -> HistGradientBoostingClassifier:
        """The classifier, told which columns are text."""
        text = [i for i, name in enumerate(self.columns) if name in self.ranks]
        return HistGradientBoostingClassifier(
            random_state=0, categorical_features=text or None, max_iter=iterations
        )


def prediction_auc(
    features: Features,
    rows: pd.DataFrame,
    labels: np.ndarray,
    test: pd.DataFrame,
    truth: np.ndarray,
) -> float:
    """Fit on some rows, tested on the held-out ones; 0.5 where the rows have one class only."""
    if len(np.unique(labels)) < 2:
        return 0.5
    model = features.trees(150).fit(features.matrix(rows), labels)
    chances = dict(zip(model.classes_, model.predict_proba(features.matrix(test)).T, strict=True))
    classes = np.unique(np.concatenate([np.unique(labels), np.unique(truth)]))
    judged = classes[1:] if len(classes) == 2 else classes
    never = np.zeros(len(truth))
    aucs = [
        roc_auc_score(truth == one, chances.get(one, never))
        for one in judged
        if 0 < (truth == one).sum() < len(truth)
    ]
    return float(np.mean(aucs))


def told_apart_auc(features: Features, test: pd.DataFrame, made: pd.DataFrame) -> float:
    """As many rows of each, three folds."""
    rows = min(len(test), len(made))
    rng = np.random.default_rng(0)
    drawn = features.matrix(made)[rng.choice(len(made), rows, replace=False)]
    held = features.matrix(test)[rng.choice(len(test), rows, replace=False)]
    truth = np.repeat([0.0, 1.0], rows)
    chances = cross_val_predict(
        features.trees(100), np.concatenate([held, drawn]), truth, cv=3, method="predict_proba"
    )
    return float(roc_auc_score(truth, chances[:, 1]))


def score(
    train: pd.DataFrame, test: pd.DataFrame, made: pd.DataFrame, target: str
) -> dict[str, float]:
    """All figures of one synthetic table."""
    numeric = pd.api.types.is_numeric_dtype(train[target])

    def labels(frame: pd.DataFrame) -> np.ndarray:
        if numeric:
            return pd.to_numeric(frame[target], errors="coerce").to_numpy()
        return frame[target].astype(str).to_numpy()

    features = Features(train.drop(columns=[target]))
    truth = labels(test)
    return {
        **marginal_scores(train, test, made),
        "trtr_auc": prediction_auc(features, train, labels(train), test, truth),
        "tstr_auc": prediction_auc(features, made, labels(made), test, truth),
        "c2st_auc": told_apart_auc(Features(train), test, made),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("train", "test", "synthetic"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--target", required=True)
    given = parser.parse_args()
    train, test, made = (pd.read_csv(path) for path in (given.train, given.test, given.synthetic))
    figures = score(train, test, made, given.target)
    print(json.dumps({name: round(value, 4) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
