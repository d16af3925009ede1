"""The Croissant metadata: a reader of that format finds every row of the table, offline."""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dpsynth.release.about import About
from dpsynth.release.bundle import BundleContents, write_bundle
from dpsynth.release.documents.croissant import CONFORMS_TO, croissant_text, field_id
from dpsynth.release.manifest import FileRecord
from dpsynth.release.report.data import ReportData
from dpsynth.schema import Column, Schema

# The reader uses names that rdflib and pandas, below it, are about to drop.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
mlc = pytest.importorskip("mlcroissant")

ODD_NAMES = (
    *("a b", 'say "x"', "ä/ö", "<x>", ".", "..", "a#b", "a?b", "100%", "%2E", "@id", "a:b", "\\"),
    *(
        "rows",
        "|",
        "名",
        "a/../b",
        "http://x/y",
        "index",
        "name",
        "filename",
        "two\nlines",
        " edge",
    ),
)
ABOUT = About(
    title="Doctor visits",
    curator="Institute of Health",
    contact="data@institute.example",
    licence="CC-BY-4.0",
    source="A survey.",
    purpose="Teaching.",
)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a connection was tried")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def edition(contents: Callable[..., BundleContents]) -> Callable[..., ReportData]:
    """The public edition of the example, with another schema."""

    def build(schema: Schema, about: About = ABOUT) -> ReportData:
        made = contents()
        return ReportData(
            edition="public",
            about=about,
            created="2026-01-02T03:04:05+00:00",
            statement=made.statement,
            decision=made.decision.public(),
            schema=schema,
            table="public/synthetic.csv",
            rows=3,
        )

    return build


def _written(folder: Path, frame: pd.DataFrame, data: ReportData, output: str = "csv") -> Path:
    table = folder / f"synthetic.{output}"
    if output == "csv":
        frame.to_csv(table, index=False)
    else:
        frame.to_parquet(table, index=False)
    path = folder / "croissant.json"
    path.write_bytes(croissant_text(data, FileRecord.of(table, name=table.name)).encode())
    return path


def _records(path: Path) -> pd.DataFrame:
    """What a reader of the format finds, columns under the names in the metadata."""
    dataset = mlc.Dataset(jsonld=path)
    assert not dataset.metadata.issues.errors
    assert not dataset.metadata.issues.warnings
    fields = dataset.metadata.record_sets[0].fields
    rows = pd.DataFrame(list(dataset.records("rows")), dtype=object)
    return rows.rename(columns={field.id: field.name for field in fields})


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


@pytest.mark.parametrize("output", ["csv", "parquet"])
def test_a_bundle_is_read_row_by_row(
    contents: Callable[..., BundleContents],
    tables: dict[str, pd.DataFrame],
    tmp_path: Path,
    output: str,
) -> None:
    wanted = tables["synthetic"].assign(member=lambda frame: frame["member"] == "true")
    made = contents(synthetic=wanted, about=ABOUT, output=output)
    found = _records(write_bundle(tmp_path / "bundle", made) / "public" / "croissant.json")
    assert list(found.columns) == list(wanted.columns)
    assert found["age"].tolist() == wanted["age"].tolist()
    assert np.allclose(found["income"].astype(float), wanted["income"])
    assert [_text(value) for value in found["town"]] == wanted["town"].tolist()
    assert found["member"].tolist() == wanted["member"].tolist()
    assert found["since"].tolist() == pd.to_datetime(wanted["since"]).tolist()


@pytest.mark.parametrize("output", ["csv", "parquet"])
def test_odd_names_and_missing_cells(
    edition: Callable[..., ReportData], tmp_path: Path, output: str
) -> None:
    schema = Schema(columns=tuple(Column(name=name, kind="integer") for name in ODD_NAMES))
    frame = pd.DataFrame({name: [number, None] for number, name in enumerate(ODD_NAMES)})
    found = _records(_written(tmp_path, frame, edition(schema), output))
    assert tuple(found.columns) == ODD_NAMES
    assert found.iloc[0].tolist() == list(range(len(ODD_NAMES)))
    assert found.iloc[1].isna().all()


@pytest.mark.parametrize("output", ["csv", "parquet"])
def test_each_kind_has_a_type_and_may_be_missing(
    edition: Callable[..., ReportData], tmp_path: Path, output: str
) -> None:
    frame = pd.DataFrame(
        {
            "integer": [1.0, None],
            "numeric": [2.5, None],
            "categorical": ["x", None],
            "boolean": pd.Series([True, None], dtype=object),
            "datetime": ["2024-02-29", None],
            "identifier": [1, 2],
        }
    )
    schema = Schema(columns=tuple(Column(name=name, kind=name) for name in frame.columns))
    found = _records(_written(tmp_path, frame, edition(schema), output))
    wanted = [1, 2.5, b"x", True, pd.Timestamp("2024-02-29"), b"1"]
    assert found.iloc[0].tolist() == wanted
    assert [type(value) for value in found.iloc[0]] == [type(value) for value in wanted]
    assert found.iloc[1].isna().tolist() == [True] * 5 + [False]


def test_what_the_owner_states_is_found(
    edition: Callable[..., ReportData], schema: Schema, tables: Any, tmp_path: Path
) -> None:
    data = edition(schema)
    metadata = mlc.Dataset(jsonld=_written(tmp_path, tables["synthetic"], data)).metadata
    assert metadata.name == "Doctor visits"
    assert metadata.license == ["CC-BY-4.0"]
    assert [creator.name for creator in metadata.creators] == ["Institute of Health"]
    assert metadata.date_published.date().isoformat() == "2026-01-02"
    assert metadata.data_use_cases == ["Teaching."]
    assert metadata.data_collection == "A survey."
    assert metadata.personal_sensitive_information == [data.statement.sentence]
    assert any("column names" in limit for limit in metadata.data_limitations)
    assert tuple(metadata.conforms_to) == CONFORMS_TO


def test_what_the_owner_did_not_state_is_left_out(
    edition: Callable[..., ReportData], schema: Schema, tables: Any, tmp_path: Path
) -> None:
    path = _written(tmp_path, tables["synthetic"], edition(schema, About()))
    found = json.loads(path.read_text())
    left_out = {"license", "creator", "citeAs", "rai:dataCollection", "rai:dataUseCases"}
    assert not left_out & found.keys()
    dataset = mlc.Dataset(jsonld=path)
    assert not dataset.metadata.issues.errors
    # The format recommends them; a recommendation is no reason to invent an owner.
    assert all("is recommended" in warning for warning in dataset.metadata.issues.warnings)


def test_the_version_counts_the_releases(
    edition: Callable[..., ReportData], schema: Schema, tables: Any, tmp_path: Path
) -> None:
    path = _written(tmp_path, tables["synthetic"], edition(schema))
    assert json.loads(path.read_text())["version"] == "1.0.0"


def _broken(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    return path


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data["distribution"][0].pop("encodingFormat"),
        lambda data: data["distribution"][0].pop("contentUrl"),
        lambda data: data["recordSet"][0]["field"][0].pop("dataType"),
        lambda data: data["recordSet"][0]["field"][0]["source"]["fileObject"].update({"@id": "x"}),
    ],
    ids=["no format", "no address", "no type", "no such file"],
)
def test_broken_metadata_is_rejected(
    edition: Callable[..., ReportData],
    schema: Schema,
    tables: Any,
    tmp_path: Path,
    change: Callable[[dict[str, Any]], None],
) -> None:
    """The control: a reader that accepts anything would prove nothing above."""
    path = _broken(_written(tmp_path, tables["synthetic"], edition(schema)), change)
    with pytest.raises(mlc.ValidationError):
        mlc.Dataset(jsonld=path)


def _refusal(path: Path) -> str:
    """What a reader says that finds no rows: its last word, and each word before it."""
    with pytest.raises(Exception, match="error occurred") as caught:
        _records(path)
    said, error = [], caught.value
    while isinstance(error, Exception):
        said.append(str(error))
        error = error.__cause__ or error.__context__
    return "; ".join(said)


def test_a_column_that_is_not_there_is_noticed(
    edition: Callable[..., ReportData], schema: Schema, tables: Any, tmp_path: Path
) -> None:
    path = _written(tmp_path, tables["synthetic"].drop(columns="age"), edition(schema))
    assert 'Column "age" does not exist' in _refusal(path)


def test_another_table_under_the_same_name_is_rejected(
    edition: Callable[..., ReportData], schema: Schema, tables: Any, tmp_path: Path
) -> None:
    path = _written(tmp_path, tables["synthetic"], edition(schema))
    tables["synthetic"].head(7).to_csv(tmp_path / "synthetic.csv", index=False)
    assert "is not identical" in _refusal(path)


def test_names_become_paths_that_lead_nowhere_else() -> None:
    paths = [field_id(name) for name in ODD_NAMES]
    assert len(set(paths)) == len(paths)
    assert all(path.count("/") == 1 and ".." not in path for path in paths)


def test_a_stopped_release_has_none(refused: Path) -> None:
    assert not (refused / "public" / "croissant.json").exists()
