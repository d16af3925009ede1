"""A chain: real rows, a release of them, and the release fed back in every disguise."""

import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dpsynth.cli import invoke
from dpsynth.errors import InputError, IntegrityError
from dpsynth.fitted import FittedModel
from dpsynth.ledger_text import ledger_json
from dpsynth.plan import KNOWN_ROWS
from dpsynth.privacy.ledger import Ledger
from dpsynth.privacy.ledger_extract import check_extract
from dpsynth.privacy.ledger_releases import GENERATION, SKETCH, known_releases
from dpsynth.privacy.lineage_record import Parent
from dpsynth.privacy.noise import seeded_noise
from dpsynth.privacy.sketch import sketch_of
from dpsynth.schema import Column, Schema
from dpsynth.synthesizer import Synthesizer
from dpsynth.table import Table

HASH = "cd" * 32
SCHEMA = Schema(
    columns=(
        Column(name="id", kind="identifier"),
        Column(name="age", kind="integer", lower=0, upper=99),
        Column(name="income", kind="numeric", lower=0, upper=9999, decimals=1),
        Column(name="joined", kind="datetime", lower="2020-01-01", upper="2021-12-31"),
        Column(name="town", kind="categorical", categories=("Ulm", "Bonn", "Kiel")),
    )
)


def real(rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng([55, seed])
    town = rng.choice(["Ulm", "Bonn"], rows).astype(object)
    town[rng.random(rows) < 0.1] = None
    days = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 700, rows), unit="D")
    return pd.DataFrame(
        {
            "id": np.arange(rows) + 10_000,
            "age": rng.integers(0, 100, rows),
            "income": np.round(rng.gamma(2, 900, rows).clip(0, 9999), 1),
            "joined": days.strftime("%Y-%m-%d"),
            "town": town,
        }
    )


def fit(book: Ledger, table: object, seed: int = 0, schema: Schema = SCHEMA) -> FittedModel:
    made = Synthesizer(epsilon=1.0, schema=schema, generator="independent", ledger=book)
    return made.fit(table, noise=seeded_noise(seed), rng=np.random.default_rng(seed))


def note(book: Ledger, model: FittedModel, table: pd.DataFrame, generation: int = 1) -> None:
    """As `pipeline.run` notes a bundle."""
    record = model.statement().ledger
    assert record is not None
    learned = [column.name for column in model.schema().modelled]
    text = sketch_of(Table.from_frame(table), learned).to_text()
    facts: dict[str, str | int] = {
        "verdict": "allow",
        "manifest_sha256": HASH,
        GENERATION: generation,
        SKETCH: text,
    }
    book.record_release(record.release, facts)


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    """A ledger that holds one release of 3,000 real rows, and the released table."""
    place = tmp_path_factory.mktemp("chain") / "l.db"
    book = Ledger.open(place, dataset="people", epsilon=20, delta=1e-5)
    model = fit(book, real(3000, 1))
    table = model.sample(3000, seed=1)
    note(book, model, table)
    return place, table


@pytest.fixture
def ledger(released: tuple[Path, pd.DataFrame], tmp_path: Path) -> Path:
    return Path(shutil.copy(released[0], tmp_path / "l.db"))


def book_of(place: Path, dataset: str = "another table") -> Ledger:
    return Ledger.open(place, dataset=dataset, epsilon=20, delta=1e-5)


def half(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Half of a release among as many real rows, shuffled, with other ids."""
    made = table.sample(1500, random_state=seed)
    return (
        pd.concat([made, real(1500, 100 + seed)])
        .sample(frac=1.0, random_state=seed, ignore_index=True)
        .assign(id=lambda frame: np.arange(len(frame)))
    )


@pytest.mark.parametrize("form", ["frame", "csv", "again", "parquet", "reordered"])
def test_a_release_that_was_fed_back_is_recognized(
    form: str, released: tuple[Path, pd.DataFrame], ledger: Path, tmp_path: Path
) -> None:
    mixed = half(released[1], 3)
    data: object = mixed
    path = tmp_path / ("t.parquet" if form == "parquet" else "t.csv")
    if form == "parquet":
        mixed.to_parquet(path)
    elif form != "frame":
        mixed.to_csv(path, index=False)
    if form == "again":
        pd.read_csv(path).astype({"age": float}).to_csv(path, index=False)
    if form != "frame":
        data = path
    if form == "reordered":
        data = pd.read_csv(path)[mixed.columns[::-1]]
    statement = fit(book_of(ledger), data).statement()
    (parent,) = statement.lineage.made_from
    assert parent.manifest_sha256 == HASH
    assert parent.known_by == "rows"
    assert parent.share.lower <= 0.5 <= parent.share.upper
    assert parent.share.upper - parent.share.lower < 0.4
    assert statement.input_generation == 1
    (charge,) = [event for event in statement.events if event.label == KNOWN_ROWS]
    assert charge.share == pytest.approx(0.005, rel=0.02)
    # What the rows told is not in the ledger, which was written before they were asked.
    book = book_of(ledger)
    assert statement.ledger is not None
    check_extract(book.extract(statement.ledger.release), statement)


def test_an_honest_second_release_of_the_same_rows_is_not(ledger: Path) -> None:
    statement = fit(book_of(ledger, "people"), real(3000, 1)).statement()
    assert statement.lineage.made_from == ()
    assert statement.lineage.compared == 1
    assert statement.lineage.noticeable_share is not None
    assert statement.lineage.noticeable_share < 0.25
    assert statement.input_generation == 0


def test_a_chain_counts_its_generations(released: tuple[Path, pd.DataFrame], ledger: Path) -> None:
    book = book_of(ledger)
    model = fit(book, released[1])
    assert model.statement().input_generation == 1
    third = model.sample(3000, seed=2)
    note(book, model, third, generation=2)
    statement = fit(book_of(ledger, "third"), third).statement()
    assert statement.input_generation == 2
    assert statement.lineage.synthetic_share.lower > 0.7
    assert [release.generation for release in known_releases(book.entries())] == [1, 2]


def test_without_a_release_in_the_ledger_nothing_is_asked() -> None:
    book = Ledger.open("sqlite://", dataset="people", epsilon=2, delta=1e-5)
    statement = fit(book, real(600, 1)).statement()
    assert KNOWN_ROWS not in [event.label for event in statement.events]
    assert statement.lineage.compared == statement.lineage.not_compared == 0


def test_a_ledger_of_an_older_version_works() -> None:
    book = Ledger.open("sqlite://", dataset="people", epsilon=5, delta=1e-5)
    first = fit(book, real(600, 1)).statement()
    assert first.ledger is not None
    book.record_release(first.ledger.release, {"verdict": "allow", "manifest_sha256": HASH})
    statement = fit(book, real(600, 1)).statement()
    assert KNOWN_ROWS not in [event.label for event in statement.events]
    assert statement.lineage.not_compared == 1


def test_a_narrow_table_is_not_asked_about(tmp_path: Path) -> None:
    schema = Schema(columns=(SCHEMA.columns[-1],))
    book = Ledger.open("sqlite://", dataset="people", epsilon=5, delta=1e-5)
    model = fit(book, real(600, 1)[["town"]], schema=schema)
    note(book, model, model.sample(600, seed=1))
    statement = fit(book, model.sample(600, seed=1), schema=schema).statement()
    assert KNOWN_ROWS not in [event.label for event in statement.events]
    assert (statement.lineage.compared, statement.lineage.not_compared) == (0, 1)
    assert statement.input_generation == 0


def test_what_the_manifest_tells_is_not_asked_of_the_rows(
    released: tuple[Path, pd.DataFrame], ledger: Path
) -> None:
    parent = Parent(known_by="manifest", generation=1, manifest_sha256=HASH)
    made = Synthesizer(
        epsilon=1.0, schema=SCHEMA, generator="independent", ledger=book_of(ledger)
    ).fit(released[1], parents=[parent])
    statement = made.statement()
    assert KNOWN_ROWS not in [event.label for event in statement.events]
    assert statement.lineage.made_from == (parent,)
    assert statement.input_generation == 1


def test_what_the_owner_declares_stands_beside_what_is_found(
    released: tuple[Path, pd.DataFrame], ledger: Path
) -> None:
    made = Synthesizer(
        epsilon=1.0, schema=SCHEMA, generator="independent", ledger=book_of(ledger)
    ).fit(released[1], input_generation=4)
    lineage = made.statement().lineage
    assert [parent.known_by for parent in lineage.made_from] == ["declared", "rows"]
    assert made.statement().input_generation == 4
    assert lineage.real_share.upper == 0.0


def test_a_statement_that_hides_what_was_fixed_is_found(
    released: tuple[Path, pd.DataFrame], ledger: Path
) -> None:
    statement = fit(book_of(ledger), released[1]).statement()
    assert statement.ledger is not None
    text = book_of(ledger).extract(statement.ledger.release)
    declared = Parent(known_by="declared", generation=1)
    lineage = statement.lineage.known_before([declared])
    with pytest.raises(IntegrityError, match="input_generation was fixed as 0"):
        check_extract(text, statement.model_copy(update={"lineage": lineage}))


def test_a_changed_sketch_is_found_before_a_row_is_asked(
    released: tuple[Path, pd.DataFrame], ledger: Path
) -> None:
    connection = sqlite3.connect(ledger)
    with connection:
        connection.execute("DROP TRIGGER dpsynth_ledger_no_update")
        connection.execute(
            "UPDATE dpsynth_ledger SET payload = replace(payload, 'income', 'inc0me') "
            "WHERE kind = 'release'"
        )
    connection.close()
    book = Ledger.read(ledger)
    entries = len(book.entries())
    with pytest.raises(IntegrityError, match="does not fit"):
        fit(book, released[1])
    with pytest.raises(IntegrityError, match="does not fit"):
        book.verify()
    assert len(book.entries()) == entries


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({SKETCH: "{}"}, "sketch of a release cannot be read"),
        ({SKETCH: 7}, "sketch of a release cannot be read"),
        ({GENERATION: 0}, "generation=0 of a release"),
        ({GENERATION: "1"}, "generation='1' of a release"),
        ({GENERATION: True}, "generation=True of a release"),
    ],
)
def test_what_cannot_be_read_again_is_not_noted(
    facts: dict[str, str | int], message: str, ledger: Path
) -> None:
    book = Ledger.read(ledger)
    (release,) = (record.release for record in book.releases())
    with pytest.raises(InputError, match=message):
        book.record_release(release, {"verdict": "allow", **facts})


def test_the_ledger_is_shown_without_thousands_of_hashes(ledger: Path) -> None:
    entries = ledger_json([Ledger.read(ledger)])["entries"]
    (facts,) = (entry["facts"] for entry in entries if entry["kind"] == "release")
    assert facts[SKETCH] == "kept in the ledger"
    assert facts["manifest_sha256"] == HASH
    assert len(str(entries)) < 20_000


def test_a_plan_says_whether_rows_will_be_looked_for(
    ledger: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schema = tmp_path / "s.toml"
    schema.write_text(SCHEMA.to_toml_text(), encoding="utf-8")

    def plan(*more: str) -> int:
        return invoke(["plan", "--epsilon", "1", "--schema", str(schema), *more])

    assert plan() == 0
    assert KNOWN_ROWS not in capsys.readouterr().out
    assert plan("--ledger", str(ledger)) == 0
    assert KNOWN_ROWS in capsys.readouterr().out
    assert plan("--ledger", str(tmp_path / "absent.db")) == 2
