"""The rules of a policy as frozen values, and what no two of them may say together."""

import math
from collections.abc import Iterator
from typing import Any, Generic, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from dpsynth.release.canonical import canonical_json, sha256_text
from dpsynth.release.toml_file import check_printable

FORMAT: Literal["dpsynth.policy/2"] = "dpsynth.policy/2"
Verdict = Literal["allow", "refuse", "inconclusive"]
Audience = Literal["public", "internal", "development"]
Publish = Literal["overall", "verdict", "coarse"]
Waivable = Literal["none", "inconclusive", "any"]
Bound = Literal["lower", "upper", "value"]
T = TypeVar("T")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Limit(_Frozen, Generic[T]):
    """One limit, the sentence that defends it, and where the number comes from.

    In the file it is a bare value, or a table with `limit`, `reason` and `source`.
    """

    limit: T
    reason: str = ""
    source: str = ""

    @model_validator(mode="before")
    @classmethod
    def _bare_value(cls, value: Any) -> Any:
        fields = value if isinstance(value, dict) else {"limit": value}
        # A list is how TOML and JSON write a tuple; strict mode would turn it away.
        return {key: tuple(one) if isinstance(one, list) else one for key, one in fields.items()}

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """The table or, as `_bare_value` takes it too, the limit alone."""
        table = handler.resolve_ref_schema(handler(core))
        return {"anyOf": [table["properties"]["limit"], table]}


class FigureLimit(_Frozen):
    """A limit on one audit figure.

    `bound` names the end of the figure's confidence interval that is compared. The release is
    refused when that end breaks the limit; when only another end does, the interval straddles the
    limit and counts as `inconclusive` says. An interval of less than `confidence` counts as not
    measured.
    """

    name: str = Field(pattern=r"^[a-z0-9_]+\.[A-Za-z0-9_.]+$")
    max: float | None = None
    min: float | None = None
    bound: Bound = "lower"
    confidence: float = Field(default=0.95, ge=0.5, lt=1.0)
    inconclusive: Verdict = "inconclusive"
    reason: str = ""
    source: str = ""

    @model_validator(mode="after")
    def _has_a_limit(self) -> Self:
        given = [limit for limit in (self.min, self.max) if limit is not None]
        if not given:
            raise ValueError(f"figure {self.name!r} has neither min nor max; give one")
        if not all(math.isfinite(limit) for limit in given):
            raise ValueError(f"figure {self.name!r}: min and max must be finite, got {given}")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(
                f"figure {self.name!r}: min={self.min} is above max={self.max}; "
                "no release could pass, swap them or drop one"
            )
        return self


class FindingRule(_Frozen):
    """A finding the audit must hold, and what its own verdict counts as."""

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    leak: Verdict = "refuse"
    inconclusive: Verdict = "inconclusive"
    reason: str = ""
    source: str = ""


class GroupRule(_Frozen):
    """Tests that the audit judges together: some one of them must have been able to see a leak.

    A leak in any of them counts as `leak` says. Where none of them would have noticed, it counts as
    `inconclusive` says; one that is blind beside another that is not takes nothing away.
    """

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    leak: Verdict = "refuse"
    inconclusive: Verdict = "inconclusive"
    reason: str = ""
    source: str = ""


class Policy(_Frozen):
    """Everything the gate is held to.

    Attributes:
        audience: who may get a table that this policy allows: anybody ("public"), colleagues and
            named recipients ("internal"), or developers and testers ("development").
        publish: what of the evidence measured on real rows `public/` may show: "overall" (the
            verdict of the whole and the rules on the claim), "verdict" (allow or refuse per rule,
            no figure) or "coarse" (figures rounded outwards: shares to steps of 0.05, larger ones
            to wider steps).
        waivers: which outcomes a named person may set aside: "none", "inconclusive" ones, or "any".
        max_epsilon, max_delta: the largest budget a release may have asked for.
        max_total_epsilon: what all releases about the same people may cost together, by the ledger.
        max_releases: how many releases about the same people there may be, by the ledger.
        max_input_generation: how often the input may have gone through a generator before; 0
            demands rows that nobody knows to be synthetic.
        min_real_share: least share of the input's rows that must not be known to be synthetic; the
            upper bound of that share is held against it.
        max_collapse_alarms: how many alarms of lost variety may hold at the finished model, by the
            free monitor of the training (`training.json`).
        min_rows: fewest rows the generator may have learned from.
        require_releasable: True demands noise from a cryptographic source.
        require_signature: True demands a signed bundle. The gate sees no signature: who writes the
            bundle and who verifies it keep this (see `signature_required`).
        require_shared_ledger: True demands a ledger that is kept for all releases of the dataset;
            one that is made for a single release knows of no other.
        require_controls: True demands that each attack recorded its controls: that it was tried on
            copies planted on purpose, one at least found them, and none cried where nothing leaks.
        allowed_generators: names; absent means any.
        finding, group, figure: findings that must be there; groups of tests of which one must have
            been able to see something; limits on audit figures.
    """

    format: Literal["dpsynth.policy/2"] = FORMAT
    name: str = Field(min_length=1, max_length=200)
    audience: Audience = "internal"
    publish: Publish = "verdict"
    waivers: Waivable = "none"
    max_epsilon: Limit[float] | None = None
    max_delta: Limit[float] | None = None
    max_total_epsilon: Limit[float] | None = None
    max_releases: Limit[int] | None = None
    max_input_generation: Limit[int] | None = None
    min_real_share: Limit[float] | None = None
    max_collapse_alarms: Limit[int] | None = None
    min_rows: Limit[int] | None = None
    require_releasable: Limit[bool] = Limit(limit=True)
    require_signature: Limit[bool] = Limit(limit=False)
    require_shared_ledger: Limit[bool] = Limit(limit=False)
    require_controls: Limit[bool] = Limit(limit=False)
    allowed_generators: Limit[tuple[str, ...]] | None = None
    finding: tuple[FindingRule, ...] = ()
    group: tuple[GroupRule, ...] = ()
    figure: tuple[FigureLimit, ...] = ()

    @model_validator(mode="after")
    def _no_contradiction(self) -> Self:
        for fault in _faults(self):
            raise ValueError(fault)
        return self


def policy_hash(policy: Policy) -> str:
    """SHA-256 of the policy's canonical JSON: comments and layout of the file do not count."""
    return sha256_text(canonical_json(policy.model_dump(mode="json")))


def signature_required(policy: Policy) -> bool:
    """Whether a bundle under this policy may only be shared when it is signed.

    The gate is a function of statement, evidence and policy and sees no signature; whoever writes
    a bundle asks this before the budget is spent, and whoever verifies one asks it again.
    """
    return policy.require_signature.limit


def _faults(policy: Policy) -> Iterator[str]:
    """What contradicts itself, a sentence each."""
    yield from _unprintable(policy)
    yield from _out_of_range("max_epsilon", policy.max_epsilon, below=math.inf)
    yield from _out_of_range("max_delta", policy.max_delta, below=1.0)
    yield from _out_of_range("max_total_epsilon", policy.max_total_epsilon, below=math.inf)
    yield from _too_small("max_releases", policy.max_releases, least=1)
    yield from _too_small("max_input_generation", policy.max_input_generation, least=0)
    if policy.min_real_share is not None and not 0.0 < policy.min_real_share.limit <= 1.0:
        yield f"min_real_share is {policy.min_real_share.limit}; it must be above 0 and at most 1"
    yield from _too_small("max_collapse_alarms", policy.max_collapse_alarms, least=0)
    yield from _too_small("min_rows", policy.min_rows, least=1)
    one, total = policy.max_epsilon, policy.max_total_epsilon
    if one is not None and total is not None and total.limit < one.limit:
        yield (
            f"max_total_epsilon is {total.limit:g}, below max_epsilon {one.limit:g}: all releases "
            "together cost at least what one costs; raise the total or lower max_epsilon"
        )
    if policy.allowed_generators is not None and not policy.allowed_generators.limit:
        yield "allowed_generators is empty, so no release could pass; name one"
    yield from _twice(policy)
    for figure in policy.figure:
        yield from (fault for other in policy.figure for fault in _apart(figure, other))
    if policy.audience == "public":
        yield from _too_lenient(policy)


def _unprintable(policy: Policy) -> Iterator[str]:
    """Texts that a report and a terminal could not show as they stand."""
    one_each = [getattr(policy, field) for field in type(policy).model_fields]
    rules = [rule for rule in one_each if isinstance(rule, Limit)]
    every = [*rules, *policy.finding, *policy.group, *policy.figure]
    texts = [("name", policy.name)]
    texts += [(what, getattr(rule, what)) for rule in every for what in ("reason", "source")]
    for what, text in texts:
        try:
            check_printable(what, text)
        except ValueError as error:
            yield str(error)


def _out_of_range(name: str, rule: Limit[float] | None, *, below: float) -> Iterator[str]:
    if rule is not None and not 0.0 < rule.limit < below:
        yield f"{name} is {rule.limit}; it must be above 0 and below {below:g}"


def _too_small(name: str, rule: Limit[int] | None, *, least: int) -> Iterator[str]:
    if rule is not None and rule.limit < least:
        yield f"{name} is {rule.limit}; it must be at least {least}"


def _twice(policy: Policy) -> Iterator[str]:
    for kind, names in (
        ("finding", [rule.name for rule in policy.finding]),
        ("group", [rule.name for rule in policy.group]),
        ("figure", [f"{rule.name} ({rule.bound})" for rule in policy.figure]),
    ):
        for name in names:
            if names.count(name) > 1:
                yield f"{kind} {name!r} is limited twice; keep one of the two"


def _apart(one: FigureLimit, other: FigureLimit) -> Iterator[str]:
    if one.name != other.name or one.min is None or other.max is None or one.min <= other.max:
        return
    yield (
        f"figure {one.name!r} must be at least {one.min} and at most {other.max}; "
        "no release could pass, correct one of the two"
    )


def _too_lenient(policy: Policy) -> Iterator[str]:
    """What cannot be said of a table that anybody may get."""
    if not policy.require_releasable.limit:
        yield (
            "require_releasable is false, but audience is 'public': noise that can be drawn again "
            "protects nobody; set it to true or give another audience"
        )
    for kind, rules in (("finding", policy.finding), ("group", policy.group)):
        for rule in rules:
            if rule.leak == "allow":
                yield (
                    f"{kind} {rule.name!r} allows a leak, but audience is 'public'; "
                    "set leak to 'refuse' or 'inconclusive', or give another audience"
                )
