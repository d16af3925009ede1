"""What was seen of a training: the document, what counts, and the rule that rests on it."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpsynth.errors import IntegrityError
from dpsynth.release.bundle import write_bundle
from dpsynth.release.gate import Decision, decide
from dpsynth.release.policy import parse_policy, policy_hash, policy_text_of
from dpsynth.release.report import training_words as words
from dpsynth.release.report.figures_training import training_curves
from dpsynth.release.training import ENTROPY_BOUND, PAIRS_BOUND, VARIANCE_BOUND, Training

RULE = "max_collapse_alarms"
POLICY = parse_policy(f'name = "test"\n{RULE} = 0')

GONE = "town: 'Ulm' vanished, though an earlier look had it (surely at least 48 % of the rows)"
NEVER = "town: 'Köln' never appeared (surely at least 28 % of the rows)"
PAIRS = "7 of 200 sure combinations of two columns never appeared"


def mode(code: int, column: int = 2) -> dict[str, Any]:
    return {"column": column, "code": code, "expected": 0.5, "at_least": 0.48, "share": 0.0}


#: Everything at once: two sentences on modes of one column, pairs, an entropy, a variance.
ALL: dict[str, Any] = {
    "missing": [mode(0), mode(1)],
    "lost_pairs": 7,
    "narrow": [0],
    "shrunk": [0],
    "entropies": [0.95, 0.99, None, 1.01, 0.995],
    "variances": [0.8, 0.98, None, None, 1.02],
    "alarms": [NEVER, GONE, PAIRS, "age: entropy fell", "age: variance fell"],
    "collapse": [GONE, "age: entropy fell"],
}


@pytest.fixture
def ruled(statement: Callable[..., Any], audit: Callable[..., Any]) -> Callable[..., Any]:
    """The whole decision, and the outcome of the rule on collapse."""

    def rule(training: Training | None, policy: Any = POLICY) -> tuple[Decision, Any]:
        claim = statement(policy_hash=policy_hash(policy))
        decision = decide(claim, audit(), policy, training=training)
        (outcome,) = [one for one in decision.rules if one.rule == RULE]
        return decision, outcome

    return rule


def test_a_healthy_training(watched: Callable[..., Any], training: Callable[..., Any]) -> None:
    made = training()
    assert (made.alarms, made.notes, made.stopped_early, made.best_step) == ((), (), False, 30)
    assert [look.step for look in made.readings] == [10, 20, 30], "the last look is no part of it"
    assert Training.from_json_text(made.to_json_text()) == made
    stored = json.loads(json.dumps(watched()))
    assert Training.of(stored) == made, "the same from a model that was saved"
    assert Training.of(None) is None
    assert Training.of({**stored, "released": None}) is None


def test_what_was_stopped_early_says_so(training: Callable[..., Any]) -> None:
    made = training(steps=500)
    assert made.stopped_early
    assert "stopped at step 30, as looks brought no gain, of 500 planned steps" in words.course(
        made
    )
    assert "all 30 planned steps" in words.course(training())


def test_modes_count_and_mild_losses_are_notes(training: Callable[..., Any]) -> None:
    made = training(**ALL)
    assert made.alarms == (NEVER, GONE)
    assert made.notes == (PAIRS, "age: entropy fell", "age: variance fell")


@given(
    entropy=st.floats(0.0, 1.2),
    variance=st.floats(0.0, 1.2),
    lost=st.integers(1, 200),
)
def test_a_loss_counts_beyond_its_bound(
    training: Callable[..., Any], entropy: float, variance: float, lost: int
) -> None:
    made = training(
        lost_pairs=lost,
        narrow=[0],
        shrunk=[0],
        entropies=[entropy, 0.99, None, None, 0.99],
        variances=[variance, 0.99, None, None, 0.99],
        alarms=["pairs", "entropy", "variance"],
    )
    assert ("pairs" in made.alarms) == (lost > PAIRS_BOUND * 200)
    assert ("entropy" in made.alarms) == (entropy < ENTROPY_BOUND)
    assert ("variance" in made.alarms) == (variance < VARIANCE_BOUND)
    assert sorted((*made.alarms, *made.notes)) == ["entropy", "pairs", "variance"]


CONTRADICTIONS: list[dict[str, Any]] = [
    {"alarms": []},  # a mode is missing without a sentence
    {"alarms": [NEVER, NEVER, GONE, PAIRS, "age: entropy fell", "age: variance fell"]},
    {"narrow": [7]},
    {"missing": [mode(0, column=5)]},
    {"lost_pairs": 201},
    {"collapse": ["age: another sentence"]},
    {"entropies": [0.95, 0.99, None, 1.01]},
    {"step": 5},
    {"tvd_one_way": 1.5},
    {"score": float("nan")},
]


@pytest.mark.parametrize("change", CONTRADICTIONS, ids=str)
def test_looks_that_contradict_themselves_are_refused(
    watched: Callable[..., Any], change: dict[str, Any]
) -> None:
    whole = watched(**ALL)
    assert Training.of(whole), "control"
    whole["readings"].pop()
    whole["released"] = {**whole["released"], **change}
    with pytest.raises(IntegrityError, match="what the monitor saw of the training cannot be read"):
        Training.of(whole)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"best_step": 30', '"best_step": 20'),
        ('"stopped_early": false', '"stopped_early": true'),
        ('"entropy_ratio": 0.97', '"entropy_ratio": 0.98'),
        ('"variance_ratio": 0.93', '"variance_ratio": 0.94'),
        ('"notes": []', '"notes": ["all is well"]'),
        ('"alarms": [],\n  "notes"', '"alarms": ["all is lost"],\n  "notes"'),
        ('"step": 10', '"step": 25'),
        ('"format": "dpsynth.training/1"', '"format": "dpsynth.training/2"'),
        ('"columns"', '"colums"'),
        ("}\n", "\n"),
    ],
)
def test_a_changed_document_is_refused(training: Callable[..., Any], old: str, new: str) -> None:
    text = training().to_json_text()
    assert old in text
    with pytest.raises(IntegrityError, match=r"training\.json"):
        Training.from_json_text(text.replace(old, new))


@pytest.mark.parametrize("broken", [{"readings": 3}, {"settings": {}}, {"columns": None}])
def test_a_curve_of_another_form_is_refused(
    watched: Callable[..., Any], broken: dict[str, Any]
) -> None:
    with pytest.raises(IntegrityError, match="use an unchanged model"):
        Training.of({**watched(), **broken})


def test_without_a_look_the_rule_is_undecided(ruled: Callable[..., Any]) -> None:
    decision, rule = ruled(None)
    assert (rule.verdict, rule.found, decision.verdict) == ("inconclusive", None, "inconclusive")


def test_what_counts_refuses_and_is_quoted(
    ruled: Callable[..., Any], training: Callable[..., Any]
) -> None:
    decision, rule = ruled(training(**ALL))
    assert (rule.verdict, rule.found, decision.verdict) == ("refuse", 2, "refuse")
    assert rule.reason == (
        "2 alarms of lost variety hold at the finished model, at most 0 are allowed: "
        f"{NEVER}; {GONE}"
    )
    two = parse_policy(f'name = "test"\n{RULE} = 2')
    assert ruled(training(**ALL), two)[1].verdict == "allow"
    mild = training(**{**ALL, "missing": [], "alarms": ALL["alarms"][2:], "collapse": []})
    assert mild.notes
    assert ruled(mild)[1].verdict == "allow"


def test_of_many_alarms_the_first_are_quoted(
    ruled: Callable[..., Any], training: Callable[..., Any]
) -> None:
    texts = [f"column {column}: gone" for column in range(5)]
    made = training(missing=[mode(0, column) for column in range(5)], alarms=texts)
    _, rule = ruled(made)
    assert rule.reason.endswith("column 0: gone; column 1: gone; column 2: gone; and 2 more")


def test_a_stopped_release_quotes_no_value_in_public(
    ruled: Callable[..., Any], training: Callable[..., Any]
) -> None:
    """Names of values were learned from the rows; where the table stays, they stay."""
    decision, rule = ruled(training(**ALL))
    (public,) = [one for one in decision.public().rules if one.rule == RULE]
    assert "Ulm" in rule.reason
    assert "Ulm" not in decision.public().model_dump_json()
    assert (public.found, public.verdict) == (2, "refuse")
    assert public.reason == rule.reason.partition(":")[0]


@pytest.mark.parametrize(("name", "limit"), [("public", 0), ("internal", 0), ("development", None)])
def test_the_shipped_policies(name: str, limit: int | None) -> None:
    found = parse_policy(policy_text_of(name)[0]).max_collapse_alarms
    assert (None if found is None else found.limit) == limit


def test_the_words(training: Callable[..., Any]) -> None:
    assert words.last_words(training()) == [
        "training watched: distance to the noisy counts: columns 0.007, pairs 0.013; smallest "
        "entropy 97 % of the table's. No loss of variety was found at the finished model."
    ]
    first, *rest = words.last_words(training(**ALL))
    assert first.endswith(
        "2 alarms of lost variety hold at the finished model, and 3 smaller findings beside."
    )
    assert rest[:3] == [f"warning: {NEVER}", f"warning: collapse: {GONE}", f"note: {PAIRS}"]
    assert words.COST in words.watched(training())
    assert "Nothing is known" in words.watched(None)
    assert words.last_words(None) == []
    assert "pairs" not in words.figures_of(training(tvd_pairs=None).released)


def test_the_curves(training: Callable[..., Any]) -> None:
    distances, entropies = training_curves(training(**ALL))
    assert "best at step 30" in distances.alt
    assert "97 % at the first look, 95 % at the finished model" in entropies.alt
    alone = training().model_copy(update={"readings": ()})
    assert training_curves(alone) == []


def page(folder: Any, edition: str) -> str:
    text = (folder / edition / "report.html").read_text(encoding="utf-8")
    return " ".join(re.sub(r"<[^>]+>", " ", text).split())


def test_both_editions_and_the_card_tell_it(
    contents: Callable[..., Any], training: Callable[..., Any], tmp_path: Any
) -> None:
    made = training(**ALL)
    folder = write_bundle(tmp_path / "bundle", contents(training=made))
    for edition in ("public", "internal"):
        said = page(folder, edition)
        assert "Training, watched" in said
        assert "collapse town: &#39;Ulm&#39; vanished" in said
        assert "Watching cost no budget" in said
        assert "missing town: &#39;Köln&#39; never appeared" in said
        assert "note age: variance fell" in said
    card = (folder / "public" / "card.md").read_text(encoding="utf-8")
    assert "Watched while it was trained: 2 alarms of lost variety hold" in card


def test_where_nothing_is_known_there_is_no_section(
    contents: Callable[..., Any], tmp_path: Any
) -> None:
    folder = write_bundle(tmp_path / "bundle", contents(training=None))
    assert "Training, watched" not in page(folder, "internal")
    card = (folder / "public" / "card.md").read_text(encoding="utf-8")
    assert "Nothing is known of how the generator was trained" in card
