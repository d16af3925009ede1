"""Answers that follow from the privacy statement and the schema: computed, never assumed."""

import math
from collections import Counter

from dpsynth.privacy.statement import EventRecord
from dpsynth.release.documents.frameworks.question import Reply
from dpsynth.release.report import words
from dpsynth.release.report.data import ReportData
from dpsynth.release.report.lineage_words import made_from

_ACCOUNTANTS = {
    "gdp": "Gaussian differential privacy, a closed form",
    "pld": "privacy loss distributions, rounded up",
    "rdp": "Renyi divergences",
}
_RELATIONS = {"add_or_remove_one": "adding or removing one privacy unit, with all its rows"}
_EVENTS = {
    "gaussian": "Gaussian noise on a bounded sum over all rows",
    "sampled_gaussian": "Gaussian noise on a bounded sum over a random sample of the units",
    "thresholded_gaussian": "Gaussian noise on counts, of which only large ones are named",
    "non_private": "no noise at all",
}
#: Charges whose label starts so ask for the number of rows.
_COUNT = "count:"


def product(data: ReportData) -> Reply:
    """What was made."""
    columns = len(data.schema.columns)
    size = f"{columns} column{'' if columns == 1 else 's'}"
    if data.rows is not None:
        size = f"{data.rows:,} rows and {size}"
    kept = "" if data.decision.verdict == "allow" else " It is kept inside and not released."
    return Reply(
        f"A synthetic table of {size}, made by the generator {data.statement.generator!r}. The "
        f"manifest beside it holds its SHA-256.{kept}"
    )


def published(data: ReportData) -> Reply:
    """When."""
    if data.decision.verdict != "allow":
        return Reply(f"Not released. The bundle was made on {words.day(data.created)}.")
    return Reply(f"The bundle was made on {words.day(data.created)}.")


def access(data: ReportData) -> Reply:
    """What a recipient can do with the release."""
    if data.decision.verdict != "allow":
        return Reply("None: the table is kept in internal/quarantine.")
    return Reply(
        "One table, as a file. public/ holds neither the model nor a way to ask it for more rows; "
        "were they handed out as well, the same epsilon would cover them."
    )


def releases(data: ReportData) -> Reply:
    """How often the same people were asked before, and what all of it cost them."""
    ledger = data.statement.ledger
    if ledger is None:
        return Reply(
            "Open: no ledger was kept, so nothing is known here of other releases. The owner must "
            "state how many there were from the same people.",
            "open",
        )
    if not ledger.shared:
        return Reply(
            "Open: the ledger was made for this release alone, so nothing is known here of others. "
            "The owner must state how many there were from the same people.",
            "open",
        )
    counted = (
        "The ledger books this release of the dataset and no other. It cost"
        if ledger.releases == 1
        else f"The ledger books {ledger.releases} releases of this dataset, this one included. "
        "Together they cost"
    )
    return Reply(
        f"{counted} epsilon {words.number(ledger.total_epsilon)} at delta {ledger.total_delta:g}; "
        f"the most it grants is {words.number(ledger.budget_epsilon)}. What was booked elsewhere, "
        "or nowhere, it cannot know."
    )


def guarantee(data: ReportData) -> Reply:
    """Epsilon, delta and the whole curve."""
    statement = data.statement
    if not math.isfinite(statement.epsilon_spent):
        return Reply("None: what was done has no finite epsilon.")
    mu = "" if statement.mu is None else f" As one Gaussian test: mu {statement.mu:.4g}."
    return Reply(
        f"({words.number(statement.epsilon_spent)}, {statement.delta:g})-differential privacy; "
        f"asked for was epsilon {words.number(statement.epsilon)}.{mu} The trade-off between an "
        f"attacker's two errors is listed at {len(statement.tradeoff)} points."
    )


def flavour(data: ReportData) -> Reply:
    """Which kind of differential privacy."""
    kind = "approximate differential privacy (epsilon, delta)"
    if data.statement.mu is not None:
        kind += ", and Gaussian differential privacy (mu) at the same time"
    return Reply(f"{kind[0].upper()}{kind[1:]}; neighbouring tables differ by {_relation(data)}.")


def attack_bounds(data: ReportData) -> Reply:
    """What the guarantee leaves to any attacker."""
    statement = data.statement
    shares = ", ".join(
        f"{words.percent(share)} at a false-alarm rate of {fpr}"
        for fpr, share in statement.tpr_at_fpr.items()
    )
    gap = words.percent(statement.max_advantage)
    return Reply(
        f"Of those who took part, any attacker recognizes at most {shares}. The rate of true "
        f"alarms exceeds that of false ones by at most {gap}. The same figures bound any guess "
        "about one person: a guess that would come true with that rate without the person's rows "
        "comes true with at most that share when they are in."
    )


def unit(data: ReportData) -> Reply:
    """Whose presence is hidden."""
    statement = data.statement
    if statement.privacy_unit == "row":
        return Reply(
            "One row. A person with several rows is protected for each of them, and less for all "
            "of them together."
        )
    return Reply(
        f"One {statement.privacy_unit}, with at most {statement.max_rows_per_unit} rows; further "
        "rows of the same one were dropped at random before anything was asked."
    )


def unit_in_full(data: ReportData) -> Reply:
    """What a unit is in the world outside; where it is a row, only the owner knows."""
    known = unit(data)
    if data.statement.privacy_unit != "row":
        return known
    return Reply(
        f"{known.text} Open: the owner must state how many rows one person can have.", "open"
    )


def relation(data: ReportData) -> Reply:
    """Which tables count as neighbours, and whether the number of rows is public."""
    counted = any(record.label.startswith(_COUNT) for record in data.statement.events)
    rows = (
        "The number of private rows is not public: it was asked under the budget."
        if counted
        else "No charge was booked for the number of private rows."
    )
    return Reply(f"Tables that differ by {_relation(data)}. {rows}")


def _relation(data: ReportData) -> str:
    name = data.statement.neighboring_relation
    return _RELATIONS.get(name, name)


def mechanisms(data: ReportData) -> Reply:
    """What was asked of the private rows, each with its share of the budget."""
    events = data.statement.events
    groups = words.group_shares(data.statement)
    shares = "; ".join(f"{name} {words.percent(share)}" for name, share in groups.items())
    kinds: Counter[str] = Counter()
    for record in events:
        kinds[_kind(record)] += _times(record)
    how = "; ".join(f"{count} times {kind}" for kind, count in kinds.items())
    return Reply(
        f"{len(events)} charges, each listed with its share: {shares}. In all: {how}. To try "
        "settings, to stop early or to choose among models on the private rows would be charges as "
        "well: what is not listed, the generator did not ask. The audits are not charged; what "
        "they found on real rows is not covered by epsilon."
    )


def _times(record: EventRecord) -> int:
    """How often noise was added: a charge for training holds many steps."""
    steps = record.event.get("steps", 1)
    return steps if isinstance(steps, int) else 1


def _kind(record: EventRecord) -> str:
    name = str(record.event.get("type"))
    return _EVENTS.get(name, name)


def sampling(data: ReportData) -> Reply:
    """The sampling scheme as it was executed."""
    return Reply(words.sentence(data.statement.sampling))


def postprocessing(data: ReportData) -> Reply:
    """What happened to the noisy answers afterwards."""
    return Reply(
        f"The generator {data.statement.generator!r}, the rows drawn from it and their values were "
        "made from the noisy answers alone, and cost nothing more."
    )


def domain(data: ReportData) -> Reply:
    """Which values can occur, and who said so."""
    kinds = Counter(column.kind for column in data.schema.columns)
    text = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    # No capital for an item: it begins with the name of a column.
    bounded = words.sentence("How values were bounded: " + "; ".join(data.statement.clamping))
    learned = "which of them were learned under the budget is listed as well"
    if data.decision.verdict != "allow" and data.edition == "public":
        learned = "what was learned under the budget is kept inside, as the release was stopped"
    return Reply(
        f"{len(data.schema.columns)} columns ({text}). Declared bounds and categories are listed; "
        f"{learned}.{' ' + bounded if data.statement.clamping else ''}"
    )


def unprotected(data: ReportData) -> Reply:
    """What is public by declaration."""
    listed = " ".join(words.sentence(item) for item in data.statement.unprotected)
    return Reply(f"Not covered by epsilon: {listed or 'nothing is listed.'}")


def identifiers(data: ReportData) -> Reply:
    """What became of direct identifiers."""
    names = [repr(column.name) for column in data.schema.columns if column.kind == "identifier"]
    made = (
        f"{', '.join(names)}: made afresh, never learned."
        if names
        else "No column is declared as one."
    )
    return Reply(
        f"{made} Values of the other columns come from the public domain; the owner must know that "
        "no declared category is a name."
    )


def accounting(data: ReportData) -> Reply:
    """How epsilon was worked out, and by whom else."""
    statement = data.statement
    first, second = (
        _ACCOUNTANTS.get(name, name) for name in (statement.accountant, statement.witness)
    )
    return Reply(
        f"By {first}: epsilon {words.number(statement.epsilon_spent)}. A second accountant, by "
        f"{second}, gives {words.number(statement.witness_epsilon)}. Both are upper bounds and "
        "need not be equal. They follow from the listed events alone, and anybody can work them "
        "out again."
    )


def ledger(data: ReportData) -> Reply:
    """Where the charges are booked."""
    record = data.statement.ledger
    if record is None:
        return Reply("Open: no ledger was kept; nothing attests the order of events.", "open")
    return Reply(
        f"In an append-only, hash-chained ledger, as release {record.release!r}; its entry "
        f"{record.entries} has the hash {record.head}. The charges were booked before the "
        "first question was put to the private rows."
    )


def randomness(data: ReportData) -> Reply:
    """Where the noise came from."""
    safe = (
        "The key was not kept, so that the noise cannot be drawn again."
        if data.statement.releasable
        else "It can be drawn again."
    )
    return Reply(f"{words.sentence(data.statement.noise_source)} {safe}")


def environment(data: ReportData) -> Reply:
    """Which software made it."""
    listed = ", ".join(f"{name} {version}" for name, version in data.statement.versions.items())
    return Reply(
        f"{listed or 'No versions were recorded'}. The kind of machine and the other packages that "
        "were installed are not recorded."
    )


def deployment(data: ReportData) -> Reply:
    """Who has to be trusted."""
    return Reply(
        "Central: one party holds the private rows and adds the noise. Whoever runs it and the "
        "machine are trusted; recipients are not."
    )


def lineage(data: ReportData) -> Reply:
    """Whether the input was itself synthetic."""
    origin = made_from(data.statement)
    times = data.statement.input_generation
    if times == 0:
        return Reply(f"The input is not known to be synthetic. {origin}")
    return Reply(
        f"The input had gone through a generator {times} time{'' if times == 1 else 's'} before: "
        f"the promise is about those rows, not about the people behind them. {origin}"
    )


def implementation(data: ReportData) -> Reply:
    """Software and randomness together."""
    return Reply(f"{environment(data).text} {randomness(data).text}")


def methods(data: ReportData) -> Reply:
    """The principle that was applied, and how."""
    return Reply(f"{guarantee(data).text} {mechanisms(data).text}")
