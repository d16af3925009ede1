"""Wrong input gets one clear line, exit 2 (3 for a spent budget), and nothing at the output."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dpsynth.cli import invoke
from dpsynth.console import emit

Refused = Callable[..., str]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"a,b\n", "no rows"),
        (b"a,b\n1,2\n1,2,3\n", "line 3: expected 2 cells, found 3"),
        (b"a,b\n1,2\n1\n", "line 3: expected 2 cells, found 1"),
        ("a,b\n1,é\n".encode("latin-1"), "UTF-8"),
        ("a,b\n1,2\n".encode("utf-16"), "UTF-8"),
        (b"a,a\n1,2\n", "2 columns are named 'a'"),
        (b"a,\n1,2\n", "column 2 has no name"),
    ],
    ids=["empty", "header", "long", "short", "latin-1", "utf-16", "twice", "unnamed"],
)
@pytest.mark.parametrize("command", ["fit", "run"])
def test_files_that_are_no_table(
    tmp_path: Path, refused: Refused, content: bytes, message: str, command: str
) -> None:
    path, out = tmp_path / "bad.csv", tmp_path / "out"
    path.write_bytes(content)
    line = refused([command, str(path), "--epsilon", "5", "-o", str(out)], nothing_at=out)
    assert message in line


def test_no_such_file_and_a_folder(tmp_path: Path, refused: Refused) -> None:
    folder = tmp_path / "folder.csv"
    folder.mkdir()
    for path, message in (
        (tmp_path / "x.csv", "no such file"),
        (folder, "is a folder"),
        (tmp_path, "unknown suffix"),
    ):
        out = tmp_path / "out"
        command = ["fit", str(path), "--epsilon", "5", "-o", str(out)]
        assert message in refused(command, nothing_at=out)


SCHEMAS = {
    "lacks": ('[[columns]]\nname = "age"\nkind = "integer"', "the table has column 'sex'"),
    "extra": (
        "\n".join(f'[[columns]]\nname = "{n}"\nkind = "categorical"' for n in ("age", "sex", "z")),
        "declares column 'z', which the table lacks",
    ),
    "kind": (
        '[[columns]]\nname="age"\nkind="integer"\n[[columns]]\nname="sex"\nkind="integer"',
        "row 1 (line 2), column 'sex'",
    ),
    "date": (
        '[[columns]]\nname="age"\nkind="datetime"\n[[columns]]\nname="sex"\nkind="categorical"',
        "does not fit kind 'datetime'",
    ),
    "bounds": ('[[columns]]\nname="age"\nkind="integer"\nlower=9\nupper=9', "must be below upper"),
    "unknown kind": ('[[columns]]\nname = "age"\nkind = "intger"', "did you mean 'integer'"),
    "toml": ("[[columns]\nname = ", "not valid TOML"),
    "nothing": ("", "no columns"),
    "unit": ('unit = "pid"\n[[columns]]\nname = "age"\nkind = "integer"', "unit = 'pid'"),
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_schemas_that_do_not_fit(tmp_path: Path, data: Path, refused: Refused, name: str) -> None:
    text, message = SCHEMAS[name]
    schema, out = tmp_path / "schema.toml", tmp_path / "out"
    schema.write_text(text)
    command = ["fit", str(data), "--epsilon", "5", "--schema", str(schema), "-o", str(out)]
    assert message in refused(command, nothing_at=out)


def test_infinities_in_a_declared_number(tmp_path: Path, refused: Refused) -> None:
    data, schema, out = tmp_path / "d.csv", tmp_path / "s.toml", tmp_path / "out"
    data.write_text("x\n" + "1.5\n" * 300 + "inf\n")
    schema.write_text('[[columns]]\nname = "x"\nkind = "numeric"\n')
    command = ["fit", str(data), "--epsilon", "5", "--schema", str(schema), "-o", str(out)]
    assert "line 302" in refused(command, nothing_at=out)


@pytest.mark.parametrize("command", ["fit", "run"])
@pytest.mark.parametrize(
    "wrong",
    [
        ["--epsilon", "0"],
        ["--epsilon", "-1"],
        ["--epsilon", "nan"],
        ["--epsilon", "inf"],
        ["--epsilon", "much"],
        ["--epsilon", "1", "--delta", "0"],
        ["--epsilon", "1", "--delta", "1"],
        ["--epsilon", "1", "--delta", "nan"],
        ["--epsilon", "1", "--total-epsilon", "0"],
        ["--epsilon", "1", "--generator", "autoregresive"],
        ["--epsilon", "1", "--schema", "no-such.toml"],
        ["--epsilon", "1", "--nonsense"],
        ["--epsilon", "1", "--query", "SELECT 1"],
    ],
    ids=" ".join,
)
def test_options_out_of_range(
    tmp_path: Path, data: Path, refused: Refused, command: str, wrong: list[str]
) -> None:
    out = tmp_path / "out"
    refused([command, str(data), *wrong, "-o", str(out)], nothing_at=out)


@pytest.mark.parametrize(
    "wrong", [["--rows", "0"], ["--rows", "-4"], ["--format", "xml"], ["--policy", "none.toml"]]
)
def test_what_run_refuses_before_it_spends(
    tmp_path: Path, data: Path, refused: Refused, wrong: list[str]
) -> None:
    out = tmp_path / "out"
    refused(["run", str(data), "--epsilon", "5", *wrong, "-o", str(out)], nothing_at=out)


@pytest.mark.parametrize("epsilon", ["0", "-1", "nan", "inf"])
def test_plan_checks_its_budget(shared: Path, refused: Refused, epsilon: str) -> None:
    refused(["plan", "--schema", str(shared / "schema.toml"), "--epsilon", epsilon])


@pytest.mark.parametrize("command", ["fit", "run", "sample"])
def test_an_existing_output_is_left_as_it_is(
    shared: Path, tmp_path: Path, refused: Refused, command: str
) -> None:
    out = tmp_path / "out.csv"
    out.write_text("mine")
    source = shared / ("model" if command == "sample" else "people.csv")
    budget = [] if command == "sample" else ["--epsilon", "5"]
    assert "exists" in refused([command, str(source), *budget, "-o", str(out)])
    assert out.read_text() == "mine"
    assert [p.name for p in tmp_path.iterdir()] == ["out.csv"]


@pytest.mark.parametrize("command", ["fit", "run", "sample"])
def test_a_missing_parent_folder(
    shared: Path, tmp_path: Path, refused: Refused, command: str
) -> None:
    source = shared / ("model" if command == "sample" else "people.csv")
    budget = [] if command == "sample" else ["--epsilon", "5"]
    line = refused([command, str(source), *budget, "-o", str(tmp_path / "no" / "out.csv")])
    assert "no such folder" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["sample", "schema"])
def test_a_full_disk_leaves_nothing(
    shared: Path,
    tmp_path: Path,
    refused: Refused,
    command: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    out = tmp_path / "out.csv"
    source = shared / ("model" if command == "sample" else "people.csv")
    monkeypatch.setattr(os, "fsync", full)
    line = refused([command, str(source), "-o", str(out)], nothing_at=out)
    assert "No space left on device" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["fit", "run"])
def test_a_disk_that_fills_up_after_the_fit_leaves_the_charge_and_no_folder(
    tmp_path: Path,
    data: Path,
    capsys: pytest.CaptureFixture[str],
    command: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    out = tmp_path / "out"
    assert invoke([command, str(data), "--epsilon", "5", "-o", str(out)]) == 2
    err = capsys.readouterr().err
    errors = [line for line in err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert "No space left on device" in errors[0]
    assert "Traceback" not in err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.ledger.db", "people.csv"]


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (["sex"], "is not COL=VALUE"),
        (["=f"], "is not COL=VALUE"),
        (["six=f"], "did you mean 'sex'"),
        (["sex=x"], "allowed: f, m"),
        (["age=old"], "not a number"),
        (["sex=f", "sex=m"], "twice"),
    ],
)
def test_bad_conditions(
    shared: Path, tmp_path: Path, refused: Refused, where: list[str], message: str
) -> None:
    out = tmp_path / "s.csv"
    options = [part for text in where for part in ("--where", text)]
    line = refused(["sample", str(shared / "model"), *options, "-o", str(out)], nothing_at=out)
    assert message in line


def test_a_sample_of_another_suffix(shared: Path, tmp_path: Path, refused: Refused) -> None:
    out = tmp_path / "s.xlsx"
    assert ".parquet" in refused(["sample", str(shared / "model"), "-o", str(out)], nothing_at=out)


@pytest.mark.parametrize("command", ["fit", "run"])
def test_an_exhausted_ledger_exits_3(
    tmp_path: Path, data: Path, refused: Refused, command: str
) -> None:
    book, out = tmp_path / "book.db", tmp_path / "out"
    common = ["--epsilon", "5", "--ledger", str(book)]
    assert invoke(["fit", str(data), *common, "-o", str(tmp_path / "first")]) == 0
    before = book.read_bytes()
    refused([command, str(data), *common, "-o", str(out)], code=3, nothing_at=out)
    assert book.read_bytes() == before


def test_too_few_rows_name_an_epsilon_and_leave_the_charge(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pd.read_csv(data).head(20).to_csv(data, index=False)
    out = tmp_path / "out"
    assert invoke(["fit", str(data), "--epsilon", "0.5", "-o", str(out)]) == 2
    err = capsys.readouterr().err
    assert "smallest epsilon that would do" in err
    assert not out.exists()
    assert (tmp_path / "out.ledger.db").exists()


@pytest.mark.parametrize("name", ["model.json", "weights.safetensors", "privacy.json"])
def test_a_model_cut_short(shared: Path, tmp_path: Path, refused: Refused, name: str) -> None:
    model, out = tmp_path / "model", tmp_path / "s.csv"
    model.mkdir()
    for path in (shared / "model").iterdir():
        (model / path.name).write_bytes(path.read_bytes())
    (model / name).write_bytes((model / name).read_bytes()[:-7])
    assert name in refused(["sample", str(model), "-o", str(out)], nothing_at=out)


@pytest.mark.parametrize(
    "arguments",
    [
        ["verify", "no-such-bundle"],
        ["gate", "--statement", "no.json", "--audit", "no.json"],
        ["ledger", "show", "no.db"],
        ["ledger", "verify", "no.db"],
        ["sample", "no-such-model", "-o", "x.csv"],
        ["schema", "no.csv"],
        ["audit", "--train", "a.csv", "--holdout", "b.csv", "--synthetic", "c.csv", "-o", "x"],
        ["nonsense"],
    ],
    ids=lambda a: a[0],
)
def test_files_that_are_not_there(
    tmp_path: Path, refused: Refused, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refused(arguments)
    assert list(tmp_path.iterdir()) == []


ODD = {
    "one value": lambda n, rng: np.full(n, "same"),
    "one number": lambda n, rng: np.full(n, 7),
    "all missing": lambda n, rng: np.full(n, None),
    "half missing numbers": lambda n, rng: np.where(rng.random(n) < 0.5, np.nan, rng.random(n)),
    "10,000 categories": lambda n, rng: np.array([f"c{k}" for k in range(n)]),
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("command", ["fit", "run"])
def test_odd_columns_work(
    tmp_path: Path, name: str, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = 10_000 if "10,000" in name else 900
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"odd": ODD[name](rows, rng), "sex": rng.choice(["f", "m"], rows)})
    data, out = tmp_path / "d.csv", tmp_path / "out"
    frame.to_csv(data, index=False)
    code = invoke([command, str(data), "--epsilon", "8", "-o", str(out)])
    assert code in ((0,) if command == "fit" else (0, 3, 4)), capsys.readouterr().err
    if command == "fit":
        sample = tmp_path / "s.csv"
        assert invoke(["sample", str(out), "--rows", "200", "--seed", "1", "-o", str(sample)]) == 0
        made = pd.read_csv(sample)
        assert made.shape == (200, 2)
        if name == "one value":
            assert set(made["odd"]) == {"same"}
        if name == "all missing":
            assert made["odd"].isna().all()
        if name == "half missing numbers":
            assert 0.3 < made["odd"].isna().mean() < 0.7
        if name == "10,000 categories":
            assert not set(made["odd"].dropna()) & set(frame["odd"])


def test_a_ledger_without_a_charge_does_not_hold_the_next_attempt(
    tmp_path: Path, data: Path, refused: Refused
) -> None:
    out, bad = tmp_path / "out", tmp_path / "bad.csv"
    bad.write_text("a,b\n")
    refused(["fit", str(bad), "--epsilon", "5", "-o", str(out)], nothing_at=out)
    assert invoke(["fit", str(data), "--epsilon", "6", "-o", str(out)]) == 0


def test_a_ledger_that_was_named_stays_after_bad_input(tmp_path: Path, refused: Refused) -> None:
    book, bad = tmp_path / "book.db", tmp_path / "bad.csv"
    bad.write_text("a,b\n")
    common = ["--epsilon", "5", "--ledger", str(book)]
    refused(["fit", str(bad), *common, "-o", str(tmp_path / "out")])
    assert book.exists()


POLICIES = {
    "broken": "max_epsilon = = 3",
    "unknown test": 'name = "x"\n[[finding]]\nname = "closest_recrod"\n',
    "signed": 'name = "x"\nrequire_signature = true\n',
}


@pytest.mark.parametrize(
    ("command", "wrong"),
    [
        ("run", ["--policy", "broken.toml"]),
        ("run", ["--policy", "unknown test.toml"]),
        ("run", ["--policy", "signed.toml"]),
        ("run", ["--schema", "absent.toml"]),
        ("run", ["--generator", "autoregresive"]),
        ("run", ["--total-epsilon", "2"]),
        ("run", ["--dataset", ""]),
        ("fit", ["--schema", "absent.toml"]),
        ("fit", ["--generator", "autoregresive"]),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_a_slip_fixes_no_budget_for_good(
    tmp_path: Path,
    data: Path,
    refused: Refused,
    command: str,
    wrong: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in POLICIES.items():
        Path(f"{name}.toml").write_text(text)
    common = ["--epsilon", "5", "--ledger", "book.db", "-o", "out"]
    refused([command, str(data), *common, *wrong])
    assert not Path("book.db").exists()


def test_a_table_that_is_not_there_and_a_policy_that_forbids_fix_no_budget(
    tmp_path: Path, data: Path, refused: Refused
) -> None:
    book, out = tmp_path / "book.db", tmp_path / "out"
    common = ["--ledger", str(book), "-o", str(out)]
    for command in ("fit", "run"):
        absent = str(tmp_path / "absent.csv")
        assert "no such file" in refused([command, absent, "--epsilon", "5", *common])
    line = refused(["run", str(data), "--epsilon", "50", *common], code=3)
    assert "at most 10 is allowed" in line
    assert not book.exists()


@pytest.mark.parametrize("command", ["fit", "run"])
def test_another_total_than_the_ledger_keeps_is_not_passed_over(
    tmp_path: Path, data: Path, refused: Refused, command: str
) -> None:
    book, out = tmp_path / "book.db", tmp_path / "out"
    where = [str(book), "--dataset", "people"]
    assert invoke(["ledger", "open", *where, "--epsilon", "9"]) == 0
    before = book.read_bytes()
    common = [command, str(data), "--epsilon", "1", "--ledger", *where, "-o", str(out)]
    line = refused([*common, "--total-epsilon", "3"], nothing_at=out)
    assert "epsilon 9 already" in line
    assert "--total-epsilon says 3" in line
    assert book.read_bytes() == before


@pytest.mark.parametrize("command", ["fit", "run"])
def test_an_output_folder_that_cannot_be_written_costs_nothing(
    tmp_path: Path, data: Path, refused: Refused, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed, book = tmp_path / "closed", tmp_path / "book.db"
    closed.mkdir()
    make = Path.mkdir

    def refuse(path: Path, *args: object, **options: object) -> None:
        if path.parent == closed:  # the tests may run as root, whom no permission stops
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        make(path, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "mkdir", refuse)
    common = ["--epsilon", "5", "--ledger", str(book)]
    line = refused([command, str(data), *common, "-o", str(closed / "out")])
    assert "Permission denied" in line
    assert "nothing was charged" in line
    assert not book.exists()


def test_a_path_that_cannot_be_is_bad_input(tmp_path: Path, data: Path, refused: Refused) -> None:
    out = tmp_path / ("x" * 5000)
    line = refused(["run", str(data), "--epsilon", "5", "-o", str(out)])
    assert "File name too long" in line
    assert "Error:" not in line


@pytest.mark.parametrize("raised", [KeyboardInterrupt, EOFError])
def test_stopping_by_hand_says_what_became_of_the_budget(
    tmp_path: Path,
    data: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    raised: type[BaseException],
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr("dpsynth.pipeline.write_bundle", stop)
    out, book = tmp_path / "out", tmp_path / "book.db"
    command = ["run", str(data), "--epsilon", "8", "--ledger", str(book), "-o", str(out)]
    assert invoke(command) == 1
    err = capsys.readouterr().err
    assert "stopped; what the ledger has booked stays booked" in err.splitlines()
    assert "Traceback" not in err
    assert not out.exists()
    assert book.exists()


def test_names_from_others_cannot_steer_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    emit(None, as_json=False, text="FAILED \x1b[2Jverified\nNOT VERIFIED")
    assert capsys.readouterr().out == "FAILED \\u001b[2Jverified\nNOT VERIFIED\n"
    assert invoke(["verify", "absent\x1b[2J\x9b2Jverified"]) == 2
    assert "absent\\u001b[2J\\u009b2Jverified" in capsys.readouterr().err
