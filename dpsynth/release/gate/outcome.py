"""What the rules came to, and the edition of it that may leave the house."""

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, JsonValue

from dpsynth.release.policy import Audience, Publish, Verdict
from dpsynth.release.waivers import Waiver

EXIT_CODES: dict[Verdict, int] = {"allow": 0, "refuse": 3, "inconclusive": 4}

#: Significant digits of a number in an audit's JSON form.
STORED_DIGITS = 10

#: A rule whose reason may quote values of the table behind its first colon. They are noisy answers,
#: and as public as the table: where that is stopped they stay in the house.
COLLAPSE = "max_collapse_alarms"

#: Coarse figures are rounded outwards to this step.
COARSE_STEP = 0.05


class RuleOutcome(BaseModel):
    """What one rule of the policy came to.

    Attributes:
        rule: name, such as "max_epsilon" or "figure closest_record.auroc".
        verdict: allow, refuse or inconclusive.
        found: the value met; a figure with its interval is an object; None where nothing was found
            or the edition hides it.
        limit: what the policy allows.
        reason: what happened, in plain words; empty where the edition hides it.
        why: the policy's own reason for the rule; `source`: where its number comes from.
        private: True where `found` was measured on real rows, so that epsilon does not cover it.
        waiver: where somebody set the rule aside: `verdict` stays what it was, and stops nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: str
    verdict: Verdict
    found: JsonValue
    limit: JsonValue
    reason: str
    why: str = ""
    source: str = ""
    private: bool = False
    waiver: Waiver | None = None


class UnusedWaiver(BaseModel):
    """A waiver that set nothing aside; `reason` says why, and is empty where the edition hides it.

    It is shown, not dropped: a file of waivers for every rule there is should be seen as one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    waiver: Waiver
    reason: str


class Decision(BaseModel):
    """The verdict, every rule's outcome, and the hash of the policy that was applied.

    Attributes:
        edition: "internal" holds every rule and figure, "public" what `publish` lets out.
        audience: whom the policy allows to get the table where the verdict is "allow".
        publish: what of the evidence the public edition may show.
        signature_required: whether the policy demands a signed bundle; the gate cannot see one, so
            this is for whoever writes or verifies it.
        unused_waivers: waivers that were given and set nothing aside.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["dpsynth.decision/2"] = "dpsynth.decision/2"
    edition: Literal["internal", "public"] = "internal"
    verdict: Verdict
    rules: tuple[RuleOutcome, ...]
    policy_name: str
    policy_hash: str
    audience: Audience
    publish: Publish
    signature_required: bool = False
    unused_waivers: tuple[UnusedWaiver, ...] = ()

    @property
    def exit_code(self) -> int:
        """What a command that ends with this decision returns: 0, 3 or 4."""
        return EXIT_CODES[self.verdict]

    def public(self) -> "Decision":
        """The edition that may leave the house: no exact figure measured on real rows.

        With `publish = "overall"` rules on the evidence are left out, but for those that were
        waived: who lets a table out against a rule does so in public.
        """
        coarse, overall = self.publish == "coarse", self.publish == "overall"
        stopped = self.verdict != "allow"
        shown = [rule for rule in self.rules if not (overall and rule.private and not rule.waiver)]
        unused = (
            waiver.model_copy(update={"reason": ""}) if overall else waiver
            for waiver in self.unused_waivers
        )
        return self.model_copy(
            update={
                "edition": "public",
                "rules": tuple(_hide(rule, coarse=coarse, stopped=stopped) for rule in shown),
                "unused_waivers": tuple(unused),
            }
        )


def json_number(value: float) -> JsonValue:
    """A number JSON can hold; NaN and infinities become their names."""
    return float(value) if math.isfinite(value) else str(float(value))


def counted(count: int, noun: str) -> str:
    """A count with its noun: "1 release", "3 releases"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def stored(number: float) -> float:
    """To the digits that an audit's JSON keeps, so that the verdict is the same from the file."""
    return float(f"{number:.{STORED_DIGITS}g}")


def _hide(rule: RuleOutcome, *, coarse: bool, stopped: bool) -> RuleOutcome:
    if rule.rule == COLLAPSE and stopped:
        return rule.model_copy(update={"reason": rule.reason.partition(":")[0]})
    if not rule.private:
        return rule
    found = _coarsen(rule.found) if coarse else None
    return rule.model_copy(update={"found": found, "reason": ""})


def _coarsen(found: JsonValue) -> JsonValue:
    """An interval rounded outwards, one step wide at least; anything else is hidden.

    The step is `COARSE_STEP` for shares. Other figures may be counts of rows, which steps of that
    size would show to the last one: there it is `COARSE_STEP` of the next power of ten.
    """
    if not isinstance(found, dict):
        return None
    lower, upper = found.get("lower"), found.get("upper")
    if not isinstance(lower, float) or not isinstance(upper, float):
        return None
    if not (math.isfinite(lower) and math.isfinite(upper)):
        return None
    largest = max(abs(lower), abs(upper))
    step = COARSE_STEP if largest <= 1.0 else COARSE_STEP * 10.0 ** math.ceil(math.log10(largest))
    low, high = math.floor(lower / step), math.ceil(upper / step)
    return {"lower": round(low * step, 2), "upper": round(max(high, low + 1) * step, 2)}
