"""Plain words for what the monitor saw of a training."""

from dpsynth.release.gate.outcome import counted
from dpsynth.release.training import Look, Training

#: Why watching is free.
COST = (
    "Watching cost no budget: rows of the generator were held against noisy counts that had been "
    "paid for before, and no private row was looked at."
)


def figures_of(look: Look) -> str:
    """The distances and the smallest entropy of one look, in a few words."""
    apart = [f"columns {look.tvd_one_way:.3f}"]
    if look.tvd_pairs is not None:
        apart.append(f"pairs {look.tvd_pairs:.3f}")
    found = f"distance to the noisy counts: {', '.join(apart)}"
    if look.entropy_column is None:
        return found
    return f"{found}; smallest entropy {100 * look.entropy_ratio:.0f} % of the table's"


def course(training: Training) -> str:
    """How often was looked, which look was best and whether training ended early, in sentences."""
    steps = training.released.step
    if not training.readings:
        return "Only the finished model was looked at."
    ended = "It ran for all"
    if training.stopped_early:
        ended = f"It was stopped at step {training.readings[-1].step}, as looks brought no gain, of"
    return (
        f"{ended} {counted(steps, 'planned step')} and was looked at "
        f"{'once' if len(training.readings) == 1 else f'{len(training.readings)} times'}. "
        f"Then {training.released.rows:,} rows were drawn from the finished model as they are "
        "released, and looked at too."
    )


def verdict_of(training: Training) -> str:
    """Whether variety was lost, in a sentence."""
    alarms, notes = len(training.alarms), len(training.notes)
    if not alarms and not notes:
        return "No loss of variety was found at the finished model."
    if not alarms:
        return (
            f"No loss of variety that counts was found at the finished model; "
            f"{counted(notes, 'smaller finding')} {'is' if notes == 1 else 'are'} noted."
        )
    beside = f", and {counted(notes, 'smaller finding')} beside" if notes else ""
    hold = "holds" if alarms == 1 else "hold"
    return f"{counted(alarms, 'alarm')} of lost variety {hold} at the finished model{beside}."


def watched(training: Training | None) -> str:
    """All of it in a line, for the card; says so where nothing is known."""
    if training is None:
        return "Nothing is known of how the generator was trained, or it is kept inside."
    return f"{verdict_of(training)} Of it: {figures_of(training.released)}. {COST}"


def last_words(training: Training | None) -> list[str]:
    """What a command says when a fit is over: one line, and one for each finding."""
    if training is None:
        return []
    first = f"training watched: {figures_of(training.released)}. {verdict_of(training)}"
    alarms = [f"warning: {_kind(text, training)}{text}" for text in training.alarms]
    return [first, *alarms, *(f"note: {text}" for text in training.notes)]


def _kind(sentence: str, training: Training) -> str:
    return "collapse: " if sentence in training.released.collapse else ""
