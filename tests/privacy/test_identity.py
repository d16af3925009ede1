"""Whose table it is: the same people under another name have no second budget."""

import datetime
import hashlib
import hmac
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dpsynth.errors import InputError
from dpsynth.privacy.events import GaussianEvent
from dpsynth.privacy.identity import FINGERPRINT, SALT, Identity, identity_of
from dpsynth.privacy.ledger import Charge, Ledger
from dpsynth.privacy.rows import PrivateRows
from dpsynth.table import Table

SMALL = Charge("count", GaussianEvent(20.0))


def people(ids: list[object], **columns: list[object]) -> Table:
    return Table.from_frame(pd.DataFrame({"id": pd.Series(ids), **columns}))


def found(ids: list[object]) -> Identity:
    identity = identity_of(people(ids), "id")
    assert identity is not None
    return identity


def test_a_fingerprint_is_an_hmac_of_the_sorted_ids() -> None:
    stream = b"".join(len(x).to_bytes(8, "big") + x for x in (b"12", b"a", "é".encode()))
    digest = hashlib.sha256(stream).digest()
    expected = hmac.new(b"salt", digest, hashlib.sha256).hexdigest()
    assert found(["é", "12", "a", "12"])(b"salt") == expected


def test_it_depends_on_the_set_of_ids_alone() -> None:
    one = found(["a", "b", "c"])(b"s")
    assert found(["c", "b", "a", "a", None, "", " "])(b"s") == one
    table = people(["b", "c", "a"], income=[1.0, 2.0, 3.0])
    assert identity_of(table, "id")(b"s") == one
    assert found(["a", "b", "c"])(b"t") != one
    for others in (["a", "b"], ["a", "b", "c", "d"], ["ab", "c"], ["a", "bc"], ["A", "b", "c"]):
        assert found(list(others))(b"s") != one


@pytest.mark.parametrize(
    ("ids", "same"),
    [
        ([1, 2, 30], ["1", "2 ", " 30"]),
        ([1.0, 2.0, None], ["1", "2"]),
        ([2**53 + 1], ["9007199254740993"]),
        ([datetime.date(2020, 1, 2)], ["2020-01-02"]),
    ],
)
def test_ids_are_the_same_in_every_kind_of_file(ids: list[object], same: list[object]) -> None:
    assert found(ids)(b"s") == found(same)(b"s")


def test_a_csv_and_a_parquet_file_are_the_same_people(tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": np.arange(50), "x": 1})
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.sample(frac=1.0, random_state=1).to_parquet(tmp_path / "b.parquet")
    one, other = (identity_of(Table.read(tmp_path / name), "id") for name in ("a.csv", "b.parquet"))
    assert one is not None and other is not None
    assert one(b"s") == other(b"s")


def test_rows_without_a_unit_or_ids_have_no_identity() -> None:
    assert identity_of(people(["a"]), None) is None
    assert identity_of(people([None, None]), "id") is None
    with pytest.raises(InputError):
        identity_of(people(["a"]), "person")


def test_dropped_rows_do_not_change_it() -> None:
    table = people(["a", "a", "a", "b"])
    rows = PrivateRows(table, unit="id", max_rows_per_unit=1, rng=np.random.default_rng(0))
    assert rows.count == 2
    assert rows.identity is not None
    assert rows.identity(b"s") == found(["a", "b"])(b"s")


# --- in a ledger --------------------------------------------------------------------------------


@pytest.fixture
def book(place: str) -> Callable[..., Ledger]:
    def opened(dataset: str) -> Ledger:
        return Ledger.open(place, dataset=dataset, epsilon=1.0, delta=1e-5)

    return opened


def test_a_renamed_file_is_no_fresh_budget(book: Callable[..., Ledger]) -> None:
    book("people 1.csv").reserve([SMALL], release="one", identity=found(["a", "b"]))
    renamed = book("renamed.csv")
    head = renamed.head
    with pytest.raises(InputError, match=r"exactly the people of .*'people 1\.csv'") as refusal:
        renamed.reserve([SMALL], release="two", identity=found(["b", "a"]))
    assert "--dataset 'people 1.csv'" in str(refusal.value)
    assert renamed.head == head
    renamed.reserve([SMALL], release="two", identity=found(["b", "a", "c"]))  # other people
    book("people 1.csv").reserve([SMALL], release="three", identity=found(["a", "b"]))
    book("people 1.csv").verify()


def test_openings_keep_a_salt_of_the_dataset_and_no_id(book: Callable[..., Ledger]) -> None:
    names = ["Ada Lovelace", "Grace Hopper"]
    for dataset, release in (("a", "one"), ("a", "two"), ("b", "three")):
        ids = [*names, dataset]
        book(dataset).reserve(
            [SMALL], release=release, facts={"policy_hash": "h"}, identity=found(ids)
        )
    ledger = book("a")
    openings = [entry.facts for entry in ledger.entries() if entry.kind == "opening"]
    one, two, three = (dict(facts or {}) for facts in openings)
    nonces = {facts.pop("nonce") for facts in (one, two, three)}
    assert [len(nonce) for nonce in nonces] == [64, 64, 64], "each opening has one of its own"
    assert one == two
    assert set(one) == {"policy_hash", SALT, FINGERPRINT}
    assert one[SALT] != three[SALT]
    assert found([*names, "a"])(bytes.fromhex(one[SALT])) == one[FINGERPRINT]
    text = repr(ledger.entries()) + ledger.extract("two")
    assert not any(name in text for name in names)
    assert three[FINGERPRINT] not in ledger.extract("two")


def test_people_without_ids_are_known_by_the_name_alone(book: Callable[..., Ledger]) -> None:
    book("a").reserve([SMALL], release="one", identity=found(["x"]))
    book("b").reserve([SMALL], release="two", identity=None)
    assert [entry.kind for entry in book("b").entries() if entry.dataset == "b"] == [
        "budget",
        "charge",
    ]


def test_facts_that_only_look_like_a_fingerprint_do_no_harm(book: Callable[..., Ledger]) -> None:
    book("a").reserve([SMALL], release="one", facts={SALT: "zz", FINGERPRINT: "é"})
    book("b").reserve([SMALL], release="two", identity=found(["x"]))
