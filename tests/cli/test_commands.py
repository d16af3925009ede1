"""Every command works once on a tiny table."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from dpsynth.cli import invoke
from dpsynth.release.policy import default_policy_text

COMMANDS = (
    ["demo"],
    ["schema"],
    ["plan"],
    ["run"],
    ["fit"],
    ["sample"],
    ["audit"],
    ["gate"],
    ["verify"],
    ["ledger", "open"],
    ["ledger", "show"],
    ["ledger", "verify"],
    ["generators"],
    ["attacks"],
)
Capture = pytest.CaptureFixture[str]


def as_json(capsys: Capture, *arguments: object, codes: tuple[int, ...] = (0,)) -> dict:
    capsys.readouterr()
    code = invoke([*map(str, arguments), "--json"])
    out = capsys.readouterr()
    assert code in codes, out.err
    found = json.loads(out.out)
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_shows_an_example(command: list[str], flag: str, capsys: Capture) -> None:
    assert invoke([*command, flag]) == 0
    out = capsys.readouterr().out
    assert f"Example: dpsynth {' '.join(command)}" in " ".join(out.split())


def test_help_lists_every_command(capsys: Capture) -> None:
    assert invoke(["-h"]) == 0
    out = capsys.readouterr().out
    assert [c[0] for c in COMMANDS if c[0] not in out] == []


@pytest.mark.parametrize("arguments", [[], ["ledger"]])
def test_no_command_shows_the_help_and_exits_2(arguments: list[str], capsys: Capture) -> None:
    assert invoke(arguments) == 2
    assert "Usage" in capsys.readouterr().err


def test_fit_says_what_was_spent(shared: Path, tmp_path: Path, capsys: Capture) -> None:
    found = as_json(
        capsys, "fit", shared / "people.csv", "--epsilon", 5, "-o", tmp_path / "m",
        "--generator", "independent",
    )  # fmt: skip
    assert 4.9 < found["epsilon_spent"] <= 5 * (1 + 1e-9)
    assert (tmp_path / "m" / "weights.safetensors").is_file()


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_sample_writes_csv_and_parquet(
    shared: Path, tmp_path: Path, suffix: str, capsys: Capture
) -> None:
    out = tmp_path / f"s.{suffix}"
    found = as_json(
        capsys, "sample", shared / "model", "--rows", 40, "--where", "sex=f", "--seed", 1, "-o", out
    )
    assert found["rows"] == 40
    assert found["out"] == str(out)
    assert 0 < found["effective_sample_size"] <= 40
    assert 0 < found["probability"] < 1
    made = pd.read_csv(out) if suffix == "csv" else pd.read_parquet(out)
    assert list(made.columns) == ["age", "sex"]
    assert set(made["sex"]) == {"f"}
    assert made["age"].between(18, 90).all()


def test_equal_seeds_write_equal_files(shared: Path, tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        command = ["sample", str(shared / "model"), "--rows", "30", "--seed", "4"]
        assert invoke([*command, "-o", str(tmp_path / name)]) == 0
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_run_ends_in_a_verdict_and_verify_agrees(
    shared: Path, tmp_path: Path, capsys: Capture
) -> None:
    found = as_json(
        capsys, "run", shared / "people.csv", "--epsilon", 5, "--format", "parquet",
        "--rows", 300, "-o", tmp_path / "b", codes=(0, 3, 4),
    )  # fmt: skip
    assert found["verdict"] in ("allow", "refuse", "inconclusive")
    (table,) = (tmp_path / "b").rglob("synthetic.parquet")
    assert (table.parent.name == "public") == (found["verdict"] == "allow")
    assert len(pd.read_parquet(table)) == 300
    checked = as_json(capsys, "verify", tmp_path / "b")
    assert checked["ok"]
    assert len(checked["checks"]) > 2


def test_run_exits_as_its_verdict_says(shared: Path, tmp_path: Path, capsys: Capture) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(default_policy_text().replace("limit = 500", "limit = 100000"))
    found = as_json(
        capsys, "run", shared / "people.csv", "--epsilon", 5, "--policy", policy,
        "-o", tmp_path / "b", codes=(3,),
    )  # fmt: skip
    assert found["verdict"] == "refuse"


def test_verify_finds_a_changed_byte(shared: Path, tmp_path: Path, capsys: Capture) -> None:
    bundle = Path(shutil.copytree(shared / "bundle", tmp_path / "b"))
    with (bundle / "public" / "privacy.json").open("ab") as file:
        file.write(b" ")
    assert invoke(["verify", str(bundle)]) == 2
    assert "NOT VERIFIED" in capsys.readouterr().out


def test_audit_then_gate(shared: Path, tmp_path: Path, capsys: Capture) -> None:
    whole = pd.read_csv(shared / "people.csv")
    for name, part in (("a", whole[:300]), ("b", whole[300:])):
        part.to_csv(tmp_path / f"{name}.csv", index=False)
    command = ["audit", "--train", tmp_path / "a.csv", "--holdout", tmp_path / "b.csv"]
    found = as_json(
        capsys, *command, "--synthetic", tmp_path / "b.csv", "-o", tmp_path / "audit",
        "--attack", "closest_record", "--check", "copies",
        codes=(0, 3, 4),
    )  # fmt: skip
    assert "closest_record.auroc" in found["figures"]
    assert (tmp_path / "audit" / "report.html").stat().st_size > 1000
    statement = shared / "bundle" / "public" / "privacy.json"
    decision = as_json(
        capsys, "gate", "--statement", statement, "--audit", tmp_path / "audit" / "audit.json",
        codes=(0, 3, 4),
    )  # fmt: skip
    assert decision["verdict"] in ("allow", "refuse", "inconclusive")


def test_plan_says_what_each_question_costs(shared: Path, capsys: Capture) -> None:
    found = as_json(capsys, "plan", "--schema", shared / "schema.toml", "--epsilon", 2)
    assert found["epsilon_spent"] == pytest.approx(2, rel=1e-3)
    assert sum(charge["share"] for charge in found["charges"]) == pytest.approx(1)
    assert invoke(["plan", "--schema", str(shared / "schema.toml"), "--epsilon", "2"]) == 0
    assert "training: gradients" in capsys.readouterr().out


def test_schema_drafts_what_fit_reads(shared: Path, tmp_path: Path, capsys: Capture) -> None:
    assert invoke(["schema", str(shared / "people.csv")]) == 0
    shown = capsys.readouterr().out
    assert invoke(["schema", str(shared / "people.csv"), "-o", str(tmp_path / "s.toml")]) == 0
    assert (tmp_path / "s.toml").read_text() == shown
    assert invoke(["plan", "--schema", str(tmp_path / "s.toml"), "--epsilon", "1"]) == 0


def test_ledger_show_and_verify(shared: Path, capsys: Capture) -> None:
    book = shared / "model.ledger.db"
    shown = as_json(capsys, "ledger", "show", book)
    assert shown["datasets"][0]["spent"] == pytest.approx(8, rel=1e-3)
    checked = as_json(capsys, "ledger", "verify", book)
    assert checked == {"ok": True, "entries": len(shown["entries"])}
    assert invoke(["ledger", "show", str(book)]) == 0
    assert "nothing left" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "known"), [("generators", "autoregressive"), ("attacks", "closest_record")]
)
def test_lists(command: str, known: str, capsys: Capture) -> None:
    assert as_json(capsys, command)[known]
    assert invoke([command]) == 0
    assert known in capsys.readouterr().out


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        ("import dpsynth", []),
        ("from dpsynth.cli import invoke; assert invoke(sys.argv[1:]) == 0", ["-h"]),
        (
            "from dpsynth.cli import invoke; assert invoke(sys.argv[1:]) == 0",
            ["plan", "--schema", "schema.toml", "--epsilon", "1"],
        ),
    ],
)
def test_no_torch_where_nothing_is_trained(shared: Path, code: str, arguments: list[str]) -> None:
    script = f"import sys; {code}; sys.exit('torch' in sys.modules or 'opacus' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], cwd=shared, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()


def test_messages_stay_off_standard_output(shared: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "m"
    assert invoke(["fit", str(shared / "people.csv"), "--epsilon", "5", "-o", str(out)]) == 0
    streams = capsys.readouterr()
    assert "booking in" in streams.err
    assert streams.out.startswith(f"{out}: ")
    assert len(streams.out.splitlines()) == 1
