"""The policy: what a release must keep to, written down before anything is measured.

A policy is a TOML file. Every limit may be a bare value (`max_epsilon = 3`) or a table that also
says why and where the number comes from:

    [max_epsilon]
    limit = 3
    reason = "..."
    source = "..."

`[[figure]]` limits one audit figure, `[[finding]]` requires one audit finding, `[[group]]` requires
that one of several tests would have noticed. Measuring first and choosing the limit afterwards is
not a test, so `policy_hash` pins the content of the file.
"""

import difflib
import math
import tomllib
from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Generic, Literal, Self, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dpsynth.errors import InputError
from dpsynth.release.canonical import canonical_json, sha256_text

FORMAT: Literal["dpsynth.policy/1"] = "dpsynth.policy/1"
Verdict = Literal["allow", "refuse", "inconclusive"]
Audience = Literal["public", "internal", "development"]
Bound = Literal["lower", "upper", "value"]
T = TypeVar("T")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Limit(_Frozen, Generic[T]):
    """One limit, the sentence that defends it, and where the number comes from."""

    limit: T
    reason: str = ""
    source: str = ""

    @model_validator(mode="before")
    @classmethod
    def _bare_value(cls, value: Any) -> Any:
        fields = value if isinstance(value, dict) else {"limit": value}
        # A list is how TOML and JSON write a tuple; strict mode would turn it away.
        return {key: tuple(one) if isinstance(one, list) else one for key, one in fields.items()}


class FigureLimit(_Frozen):
    """A limit on one audit figure.

    `bound` names the end of the figure's confidence interval that is compared. The release is
    refused when that end breaks the limit; when only another end does, the interval straddles the
    limit and counts as `inconclusive` says.
    """

    name: str = Field(pattern=r"^[a-z0-9_]+\.[A-Za-z0-9_.]+$")
    max: float | None = None
    min: float | None = None
    bound: Bound = "lower"
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
        publish: what of the evidence measured on real rows `public/` may show: "verdict" (allow or
            refuse per rule, no figure) or "coarse" (figures rounded outwards to steps of 0.05).
        max_epsilon, max_delta: the largest budget a release may have asked for.
        min_rows: fewest rows the generator may have learned from.
        require_releasable: True demands noise from a cryptographic source.
        allowed_generators: names; absent means any.
        finding, group, figure: findings that must be there; groups of tests of which one must have
            been able to see something; limits on audit figures.
    """

    format: Literal["dpsynth.policy/1"] = FORMAT
    name: str
    audience: Audience = "internal"
    publish: Literal["verdict", "coarse"] = "verdict"
    max_epsilon: Limit[float] | None = None
    max_delta: Limit[float] | None = None
    min_rows: Limit[int] | None = None
    require_releasable: Limit[bool] = Limit(limit=True)
    allowed_generators: Limit[tuple[str, ...]] | None = None
    finding: tuple[FindingRule, ...] = ()
    group: tuple[GroupRule, ...] = ()
    figure: tuple[FigureLimit, ...] = ()

    @model_validator(mode="after")
    def _no_contradiction(self) -> Self:
        _check_range("max_epsilon", self.max_epsilon, above=0.0, below=math.inf)
        _check_range("max_delta", self.max_delta, above=0.0, below=1.0)
        if self.min_rows is not None and self.min_rows.limit < 1:
            raise ValueError(f"min_rows is {self.min_rows.limit}; it must be at least 1")
        if self.allowed_generators is not None and not self.allowed_generators.limit:
            raise ValueError("allowed_generators is empty, so no release could pass; name one")
        for kind, names in (
            ("finding", [rule.name for rule in self.finding]),
            ("group", [rule.name for rule in self.group]),
            ("figure", [f"{rule.name} ({rule.bound})" for rule in self.figure]),
        ):
            for name in names:
                if names.count(name) > 1:
                    raise ValueError(f"{kind} {name!r} is limited twice; keep one of the two")
        for figure in self.figure:
            for other in self.figure:
                _check_pair(figure, other)
        return self


def _check_range(name: str, rule: Limit[float] | None, *, above: float, below: float) -> None:
    if rule is not None and not above < rule.limit < below:
        raise ValueError(f"{name} is {rule.limit}; it must be above {above:g} and below {below:g}")


def _check_pair(one: FigureLimit, other: FigureLimit) -> None:
    if one.name != other.name or one.min is None or other.max is None or one.min <= other.max:
        return
    raise ValueError(
        f"figure {one.name!r} must be at least {one.min} and at most {other.max}; "
        "no release could pass, correct one of the two"
    )


def load_policy(path: str | Path) -> Policy:
    """Read a policy from a TOML file.

    Raises:
        InputError: missing or unreadable file, broken TOML (with the line), unknown key (with the
            nearest one), wrong type, or limits that contradict each other.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"policy {path}: {error.strerror}; give an existing TOML file") from error
    except UnicodeDecodeError as error:
        raise InputError(f"policy {path}: not UTF-8 text; save it as UTF-8") from error
    return parse_policy(text, source=str(path))


def parse_policy(text: str, *, source: str = "policy") -> Policy:
    """Read a policy from TOML text; `source` names it in messages.

    Raises:
        InputError: as `load_policy`.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{source}: not TOML: {error}; mend that line") from error
    found = data.get("format", FORMAT)
    if found != FORMAT:
        raise InputError(
            f"{source}: format {found!r}, this version reads {FORMAT!r}; "
            "write the policy anew or use the version that made it"
        )
    try:
        # Validated as JSON because TOML has arrays where the model has tuples.
        return Policy.model_validate_json(_json(data, source))
    except ValidationError as error:
        raise InputError(f"{source}: {_first_fault(error)}") from error


def default_policy_text() -> str:
    """The TOML text of the policy that ships with the package, comments and all."""
    return _policies().joinpath("default.toml").read_text(encoding="utf-8")


def shipped_policies() -> tuple[str, ...]:
    """Names of the policies that ship with the package, sorted."""
    names = (entry.name for entry in _policies().iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml")))


def policy_hash(policy: Policy) -> str:
    """SHA-256 of the policy's canonical JSON: comments and layout of the file do not count."""
    return sha256_text(canonical_json(policy.model_dump(mode="json")))


def _policies() -> Traversable:
    return resources.files("dpsynth.release") / "policies"


def _json(data: dict[str, Any], source: str) -> str:
    try:
        return canonical_json(data)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{source}: holds a date, a NaN or an infinity; limits are finite numbers, texts, "
            "true or false"
        ) from error


def _first_fault(error: ValidationError) -> str:
    """The first thing that is wrong, in one line, with the nearest known key."""
    fault = error.errors(include_url=False)[0]
    where = [str(part) for part in fault["loc"]]
    place = ".".join(where) or "policy"
    if fault["type"] == "extra_forbidden":
        known = sorted(_fields_at(where[:-1]))
        near = difflib.get_close_matches(where[-1], known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
        return f"unknown key {place!r}; {hint}"
    if fault["type"] == "missing":
        return f"{place} is missing; add it"
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "value_error":
        return message
    place = place.removesuffix(".limit")
    return f"{place} is {fault['input']!r}: {message[0].lower()}{message[1:]}"


def _fields_at(where: list[str]) -> Iterator[str]:
    """Field names of the model that a path of keys and list numbers leads to."""
    model: type[BaseModel] = Policy
    for part in where:
        if part in model.model_fields:
            model = _model_in(model.model_fields[part].annotation) or model
    yield from model.model_fields


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in get_args(annotation):
        found = _model_in(inner)
        if found is not None:
            return found
    return None
