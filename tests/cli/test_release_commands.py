"""`keygen`, `run --key`, `verify --key`, `approve` and `gate`, as a person calls them."""

import json
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from dpsynth.cli import invoke

LENIENT = """
format = "dpsynth.policy/2"
name = "pilot"
audience = "development"
waivers = "any"
min_rows = 100000
"""


def waivers_for(bundle: Path, path: Path) -> None:
    """A waiver for each rule that stopped a bundle; noise alone may break others than expected."""
    decision = json.loads((bundle / "internal" / "decision.json").read_text(encoding="utf-8"))
    stopping = [rule["rule"] for rule in decision["rules"] if rule["verdict"] != "allow"]
    assert "min_rows" in stopping
    entries = [
        f"[[waiver]]\nrule = {json.dumps(rule)}\nname = 'Erika Muster'\n"
        "reason = 'A pilot among colleagues.'\ndate = '2026-01-15'\n"
        for rule in stopping
    ]
    path.write_text("\n".join(entries))


def output(capsys: pytest.CaptureFixture[str], arguments: list[str], code: int = 0) -> str:
    capsys.readouterr()
    assert invoke(arguments) == code
    return capsys.readouterr().out


@pytest.fixture(scope="module")
def pilot(tmp_path_factory: pytest.TempPathFactory, shared: Path) -> dict[str, Path]:
    """A key pair, and a signed bundle whose policy refuses it for too few rows; read only."""
    folder = tmp_path_factory.mktemp("pilot")
    key, policy = folder / "key.pem", folder / "policy.toml"
    policy.write_text(LENIENT)
    assert invoke(["keygen", "-o", str(key)]) == 0
    common = [str(shared / "people.csv"), "--epsilon", "8", "--schema", str(shared / "schema.toml")]
    options = ["--policy", str(policy), "--key", str(key), "--ledger", str(folder / "book.db")]
    assert invoke(["run", *common, *options, "-o", str(folder / "bundle")]) == 3
    return {
        "bundle": folder / "bundle",
        "key": key,
        "public": folder / "key.pub.pem",
        "ledger": folder / "book.db",
    }


def test_keygen_writes_a_pair_that_only_its_owner_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], refused: Callable[..., str]
) -> None:
    key = tmp_path / "key.pem"
    made = json.loads(output(capsys, ["keygen", "-o", str(key), "--json"]))
    assert stat.S_IMODE(Path(made["private"]).stat().st_mode) == 0o600
    assert "PRIVATE" not in Path(made["public"]).read_text()
    before = key.read_bytes()
    assert "exists" in refused(["keygen", "-o", str(key)])
    for nowhere in ("", ".", "/"):
        assert "exists" in refused(["keygen", "-o", nowhere])
    assert key.read_bytes() == before


def test_a_passphrase_is_asked_for_and_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Callable[..., str]
) -> None:
    key = tmp_path / "key.pem"
    monkeypatch.setenv("DPSYNTH_KEY_PASSPHRASE", "correct horse")
    assert invoke(["keygen", "-o", str(key), "--passphrase"]) == 0
    assert b"ENCRYPTED" in key.read_bytes()
    monkeypatch.setenv("DPSYNTH_KEY_PASSPHRASE", "wrong horse")
    run = ["run", "absent.csv", "--epsilon", "1", "--key", str(key), "-o", str(tmp_path / "out")]
    assert "passphrase" in refused(run, nothing_at=tmp_path / "out")
    monkeypatch.setenv("DPSYNTH_KEY_PASSPHRASE", "")
    again = tmp_path / "again.pem"
    assert "empty" in refused(["keygen", "-o", str(again), "--passphrase"], nothing_at=again)


def test_the_right_key_verifies_and_another_does_not(
    pilot: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = str(pilot["bundle"])
    text = output(capsys, ["verify", bundle, "--key", str(pilot["public"])])
    assert "verified" in text.splitlines()
    other = tmp_path / "other.pem"
    assert invoke(["keygen", "-o", str(other)]) == 0
    wrong = ["verify", bundle, "--key", str(tmp_path / "other.pub.pem")]
    assert "FAILED  signing key" in output(capsys, wrong, code=2)


def test_verify_against_the_ledger(
    pilot: dict[str, Path], shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = str(pilot["bundle"])
    booked = output(capsys, ["verify", bundle, "--ledger", str(pilot["ledger"])])
    assert "noted with this very bundle" in booked
    elsewhere = ["verify", bundle, "--ledger", str(shared / "bundle.ledger.db")]
    assert "FAILED  ledger" in output(capsys, elsewhere, code=2)


def test_a_ledger_for_one_release_alone_says_so(pilot: dict[str, Path], shared: Path) -> None:
    own = json.loads((shared / "bundle" / "public" / "privacy.json").read_text(encoding="utf-8"))
    kept = json.loads((pilot["bundle"] / "public" / "privacy.json").read_text(encoding="utf-8"))
    assert (own["ledger"]["shared"], kept["ledger"]["shared"]) == (False, True)
    page = (shared / "bundle" / "public" / "report.html").read_text(encoding="utf-8")
    assert "made for this release alone" in page


def test_an_unsigned_bundle_says_so(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "not signed" in output(capsys, ["verify", str(shared / "bundle")])


def test_public_alone_can_be_verified(
    pilot: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    refused: Callable[..., str],
) -> None:
    shutil.copytree(pilot["bundle"] / "public", tmp_path / "handed" / "public")
    handed = str(tmp_path / "handed")
    assert "verified" in output(capsys, ["verify", handed, "--public-only"])
    assert "internal/" in output(capsys, ["verify", handed], code=2)
    line = refused(["verify", f"{handed}/public", "--public-only"])
    assert "give the folder that holds public/" in line


def test_a_waiver_by_name_lets_a_refused_table_out(
    pilot: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    waivers, out = tmp_path / "waivers.toml", tmp_path / "approved"
    waivers_for(pilot["bundle"], waivers)
    assert not list((pilot["bundle"] / "public").glob("synthetic.*"))
    command = ["approve", str(pilot["bundle"]), "--waivers", str(waivers)]
    keys = ["--key", str(pilot["key"]), "--ledger", str(pilot["ledger"])]
    said = output(capsys, [*command, *keys, "-o", str(out)])
    assert "verdict: allow" in said
    assert str(out / "public" / "report.html") in said
    assert (out / "public" / "synthetic.csv").exists()
    assert "Erika Muster" in (out / "public" / "report.html").read_text(encoding="utf-8")
    known = ["--key", str(pilot["public"]), "--ledger", str(pilot["ledger"])]
    assert "noted with this very bundle" in output(capsys, ["verify", str(out), *known])
    assert "verified" in output(capsys, ["verify", str(pilot["bundle"]), *known]).splitlines()


def test_signed_anew_a_refused_table_stays_refused(
    pilot: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "still"
    command = ["approve", str(pilot["bundle"]), "--key", str(pilot["key"]), "-o", str(out)]
    said = output(capsys, command, code=3)
    assert "verdict: refuse" in said
    assert str(out / "internal" / "report.html") in said, "why it was stopped stands there"


def test_the_gate_takes_waivers_too(
    pilot: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    waivers = tmp_path / "waivers.toml"
    waivers_for(pilot["bundle"], waivers)
    inside = pilot["bundle"] / "internal"
    files = ["--statement", str(inside / "privacy.json"), "--audit", str(inside / "audit.json")]
    gate = ["gate", *files, "--policy", str(inside / "policy.toml")]
    assert "verdict: refuse" in output(capsys, gate, code=3)
    set_aside = output(capsys, [*gate, "--waivers", str(waivers)])
    assert "waived  min_rows" in set_aside
    assert "verdict: allow" in set_aside


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--policy", "public", "--epsilon", "5"], 2, "demands a signed bundle"),
        (["--policy", "publik", "--epsilon", "1"], 2, "did you mean 'public'"),
        (["--policy", "absent.toml", "--epsilon", "1"], 2, "absent.toml"),
        (["--policy", "internal", "--epsilon", "50"], 3, "at most 10 is allowed"),
        (["--about", "absent.toml", "--epsilon", "1"], 2, "absent.toml"),
        (["--key", "absent.pem", "--epsilon", "1"], 2, "absent.pem"),
        (["--input-generation", "-1", "--epsilon", "1"], 2, "give 0 for real rows"),
    ],
)
def test_what_is_wrong_beforehand_costs_nothing(
    options: list[str],
    code: int,
    said: str,
    data: Path,
    tmp_path: Path,
    refused: Callable[..., str],
) -> None:
    out = tmp_path / "out"
    assert said in refused(["run", str(data), *options, "-o", str(out)], code=code, nothing_at=out)
    assert not Path(f"{out}.ledger.db").exists()
