"""Checks of the verdict: one story in all files, and the gate comes to it again."""

from collections.abc import Iterator

from dpsynth.errors import IntegrityError
from dpsynth.privacy.statement import PrivacyStatement
from dpsynth.release.gate import Decision, decide
from dpsynth.release.gate.claims import real_share
from dpsynth.release.gate.outcome import COLLAPSE, counted, json_number
from dpsynth.release.manifest import Manifest
from dpsynth.release.policy import policy_hash
from dpsynth.release.training import NAME as TRAINING
from dpsynth.release.training import Training
from dpsynth.release.verification.checks import Check, held
from dpsynth.release.verification.parts import Half, Internal, Parts, table_places
from dpsynth.release.verification.versions import other_version, without_words

SHOWN = 12


def check_verdict(parts: Parts) -> Iterator[Check]:
    """Manifest, public decision, statement and the place of the table tell the same story."""
    manifest = parts.manifest
    if manifest is None:
        return
    public = parts.public
    told = _decision(manifest, public)
    problems = [*told, *_place(manifest), *_facts(parts)]
    message = f"verdict {manifest.verdict!r}, policy {manifest.policy_hash[:SHOWN]}"
    yield Check("verdict", not problems, "; ".join(problems) or message)


def _decision(manifest: Manifest, public: Half) -> Iterator[str]:
    decision = public.decision
    if decision is None:
        return
    if decision.verdict != manifest.verdict:
        yield (
            f"public/decision.json says {decision.verdict!r}, the manifest {manifest.verdict!r}; "
            "one of them was changed"
        )
    if decision.policy_hash != manifest.policy_hash:
        yield "public/decision.json and public/manifest.json name different policies"
    if decision.edition != "public":
        yield "public/decision.json is the internal edition; it must not leave the house"
    stopping = {rule.verdict for rule in decision.rules if rule.waiver is None} - {"allow"}
    least = "refuse" if "refuse" in stopping else min(stopping, default="allow")
    # Where rules are left out of the public edition, the verdict may be stricter than those shown.
    if decision.verdict != least and (decision.verdict == "allow" or decision.publish != "overall"):
        yield (
            f"public/decision.json says {decision.verdict!r}, but its rules come to {least!r}; "
            "it was changed"
        )
    yield from _found(decision, public.statement)
    yield from _alarms(decision, public.training)


def _found(decision: Decision, statement: PrivacyStatement | None) -> Iterator[str]:
    """What the rules on the claim met must stand in the statement."""
    if statement is None:
        return
    facts = {
        "budget": statement.epsilon_spent,
        "policy_fixed": statement.policy_hash,
        "max_epsilon": max(statement.epsilon, statement.epsilon_spent),
        "max_delta": statement.delta,
        "max_input_generation": statement.input_generation,
        "min_real_share": real_share(statement).model_dump(),
        "require_releasable": statement.releasable,
        "allowed_generators": statement.generator,
    }
    if statement.ledger is not None:
        facts["max_total_epsilon"] = statement.ledger.total_epsilon
        facts["max_releases"] = statement.ledger.releases
    for rule in decision.rules:
        met = facts.get(rule.rule)
        known = json_number(met) if isinstance(met, float) else met
        if rule.rule in facts and rule.found != known:
            yield (
                f"public/decision.json: rule {rule.rule!r} met {rule.found!r}, public/privacy.json "
                f"says {known!r}; one of them was changed"
            )


def _alarms(decision: Decision, training: Training | None) -> Iterator[str]:
    """The alarms that the verdict rests on are those that `training.json` holds."""
    if decision.verdict != "allow":
        return  # what was seen of the training stays inside then
    held = None if training is None else len(training.alarms)
    for rule in decision.rules:
        if rule.rule == COLLAPSE and rule.found != held:
            what = "is not there" if held is None else f"holds {counted(held, 'alarm')}"
            yield (
                f"public/decision.json: rule {COLLAPSE!r} met {rule.found!r}, but "
                f"public/{TRAINING} {what}; one of them was changed"
            )


def _place(manifest: Manifest) -> Iterator[str]:
    known = table_places(manifest.verdict)
    if manifest.table not in known:
        yield (
            f"verdict {manifest.verdict!r} but the table is said to lie at {manifest.table!r}; "
            f"allowed: {' or '.join(known)}"
        )
    listed = {record.path for record in manifest.files if record.path.startswith("synthetic")}
    if manifest.verdict != "allow" and listed:
        yield f"verdict {manifest.verdict!r} but public/ holds {min(listed)}"


def _facts(parts: Parts) -> Iterator[str]:
    manifest, statement = parts.manifest, parts.public.statement
    if manifest is None or statement is None:
        return
    if statement.policy_hash not in (None, manifest.policy_hash):
        yield (
            f"public/privacy.json: policy {str(statement.policy_hash)[:SHOWN]!r} was fixed before "
            f"the run, policy {manifest.policy_hash[:SHOWN]!r} decided; it was changed after the "
            "run"
        )
    if manifest.generation != statement.input_generation + 1:
        yield (
            f"public/manifest.json: generation is {manifest.generation}, but public/privacy.json "
            f"says that the input had {statement.input_generation}; one of them was changed"
        )
    if manifest.made_from != statement.lineage.made_from:
        yield (
            "public/manifest.json and public/privacy.json name different tables that the input was "
            "made from; one of them was changed"
        )
    if statement.lineage.generation > statement.input_generation:
        yield (
            f"public/privacy.json: the input was made from rows of generation "
            f"{statement.lineage.generation}, but is said to have {statement.input_generation}; it "
            "was changed"
        )
    if manifest.versions != statement.versions:
        yield "public/manifest.json and public/privacy.json name different versions"


def check_statements(parts: Parts) -> Iterator[Check]:
    """The public statement is the internal one, or that without what was learned."""
    internal, shown, manifest = parts.internal, parts.public.statement, parts.manifest
    if internal is None or internal.statement is None or shown is None or manifest is None:
        return
    full = internal.statement
    same = shown == (full if manifest.verdict == "allow" else full.without_learned())
    message = (
        "public/privacy.json is the public edition of internal/privacy.json"
        if same
        else "public/privacy.json and internal/privacy.json do not say the same; "
        "one of them was changed after the run"
    )
    yield Check("privacy statements", same, message)


def check_decision(parts: Parts) -> Iterator[Check]:
    """The gate once more, from what lies in the bundle."""
    internal = parts.internal
    if internal is not None:
        yield held("policy", lambda: _policy(parts, internal))
        yield held("decision", lambda: _decided_again(parts, internal))


def _policy(parts: Parts, internal: Internal) -> str:
    if internal.policy is None:
        raise IntegrityError("internal/policy.toml cannot be read, so nothing was held against it")
    found = policy_hash(internal.policy)
    if parts.manifest is not None and found != parts.manifest.policy_hash:
        raise IntegrityError(
            f"internal/policy.toml has hash {found[:SHOWN]}, public/manifest.json names policy "
            f"{parts.manifest.policy_hash[:SHOWN]!r}; it was changed after the run"
        )
    statement = internal.statement
    if statement is not None and statement.policy_hash is None:
        return "the policy is the one that decided; none was fixed before the run"
    return "the policy is the one that was fixed before the run"


def _decided_again(parts: Parts, internal: Internal) -> str:
    policy, audit, waivers = internal.policy, internal.audit, internal.waivers
    statement = internal.statement
    if policy is None or audit is None or waivers is None or statement is None:
        raise IntegrityError(
            "the gate cannot decide again: privacy.json, audit.json, policy.toml or waivers.json "
            "of internal/ cannot be read"
        )
    again = decide(statement, audit, policy, waivers, internal.training)
    edited = without_words if other_version(statement) else lambda decision: decision
    for name, stored, expected in (
        ("internal", internal.decision, again),
        ("public", parts.public.decision, again.public()),
    ):
        if stored is not None and edited(stored) != edited(expected):
            raise IntegrityError(
                f"{name}/decision.json says {stored.verdict!r}; statement, evidence, training, "
                f"policy and waivers give {again.verdict!r}{_where(stored, expected)}; it was "
                "changed after the run"
            )
    return f"the gate comes to {again.verdict!r} again"


def _where(stored: Decision, expected: Decision) -> str:
    """The first rules whose outcomes differ, in words."""
    before = {outcome.rule: outcome for outcome in stored.rules}
    after = {outcome.rule: outcome for outcome in expected.rules}
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return f", and other outcomes of {', '.join(names[:3])}" if names else ""
