"""Plain words for where a table comes from: its generation, its parents, what was looked for."""

from dpsynth.privacy.lineage_record import Parent
from dpsynth.privacy.statement import PrivacyStatement
from dpsynth.release.gate.outcome import counted

#: A share from which silence says little.
BLIND_SHARE = 0.5


def made_from(statement: PrivacyStatement) -> str:
    """Which generation the table is and from what it was made, in plain words; never empty."""
    origin = statement.lineage
    generation = f"Generation {statement.input_generation + 1}"
    if statement.input_generation == 0:
        said = f"{generation}, made from real rows as far as is known."
    elif not origin.made_from:
        said = f"{generation}, made from synthetic rows of generation {statement.input_generation}."
    else:
        parents = "; ".join(_parent(parent) for parent in origin.made_from)
        said = f"{generation}. Of the rows it was made from, these are synthetic: {parents}."
    if any(parent.known_by == "manifest" for parent in origin.made_from):
        return said  # the manifest tells all that there is to know, so no row was asked about
    return f"{said} {looked_for(statement)}"


def looked_for(statement: PrivacyStatement) -> str:
    """How closely earlier releases were looked for, and what that could not see."""
    origin = statement.lineage
    if origin.compared == 0 and origin.not_compared == 0:
        return "The ledger held no earlier release whose rows could be looked for."
    sentences = []
    if origin.compared and origin.noticeable_share is not None:
        least = origin.noticeable_share
        sentences.append(
            f"Rows of {counted(origin.compared, 'earlier release')} in the ledger were looked for "
            + (
                f"by a noisy count; a share of {least:.1%} or more would have been noticed."
                if least < BLIND_SHARE
                else "by a noisy count, which is too noisy, or among rows that repeat too much, to "
                "notice less than half; silence says little, declare the generation."
            )
        )
    if origin.not_compared:
        sentences.append(
            f"{counted(origin.not_compared, 'earlier release')} could not be compared (other "
            "columns, not enough distinctive rows, or noted without a sketch); declare the "
            "generation where rows of one were used."
        )
    return " ".join(sentences)


def _parent(parent: Parent) -> str:
    share = parent.share
    whole = share.lower == 1.0
    much = "all" if whole else f"{share.value:.1%} ({share.lower:.1%} to {share.upper:.1%})"
    digest = parent.manifest_sha256
    named = "" if digest is None else f" of the bundle with manifest {digest[:12]}"
    known = {
        "manifest": "by the manifest beside them",
        "rows": "recognized by a noisy count",
        "declared": "as their owner declared",
    }[parent.known_by]
    return f"{much}, of generation {parent.generation}{named} ({known})"
