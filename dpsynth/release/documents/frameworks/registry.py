"""The registry of deployments of differential privacy (OpenDP, with NIST): all of tiers 1 to 3."""

from dpsynth.release.documents.frameworks import claim, judgement, owner
from dpsynth.release.documents.frameworks.question import Framework, Question

NAME: Framework = "DP deployments registry, tier 3"
QUESTIONS = (
    Question(
        field="curator",
        asks="Tier 1: who releases it?",
        where="public/certificate.json: about.curator",
        reply=owner.curator,
    ),
    Question(
        field="intended use",
        asks="Tier 1: what is it for?",
        where="public/certificate.json: about.purpose",
        reply=owner.purpose,
    ),
    Question(
        field="data product",
        asks="Tier 1: what is released?",
        where="public/certificate.json: product; public/manifest.json: table",
        reply=claim.product,
    ),
    Question(
        field="publication date",
        asks="Tier 1: when?",
        where="public/manifest.json: created",
        reply=claim.published,
    ),
    Question(
        field="contact",
        asks="Tier 1: where do questions go?",
        where="public/certificate.json: about.contact",
        reply=owner.contact,
    ),
    Question(
        field="flavour",
        asks="Tier 2: which kind of differential privacy?",
        where="public/privacy.json: neighboring_relation, mu, delta",
        reply=claim.flavour,
    ),
    Question(
        field="privacy unit",
        asks="Tier 2: whose data are hidden?",
        where="public/privacy.json: privacy_unit, max_rows_per_unit",
        reply=claim.unit,
    ),
    Question(
        field="parameters",
        asks="Tier 2: how large is the privacy loss?",
        where="public/privacy.json: epsilon_spent, delta, mu",
        reply=claim.guarantee,
    ),
    Question(
        field="deployment model",
        asks="Tier 2: central, local, or between?",
        where="public/certificate.json: about.curator",
        reply=claim.deployment,
    ),
    Question(
        field="access",
        asks="Tier 2: what can a recipient do with it, once or again and again?",
        where="public/decision.json: audience; public/manifest.json: files",
        reply=claim.access,
    ),
    Question(
        field="data domain",
        asks="Tier 3: which values can occur, and who fixed them?",
        where="public/schema.json: columns, learned; public/privacy.json: clamping",
        reply=claim.domain,
    ),
    Question(
        field="unprotected quantities",
        asks="Tier 3: what does the promise not cover?",
        where="public/privacy.json: unprotected",
        reply=claim.unprotected,
    ),
    Question(
        field="privacy unit in full",
        asks="Tier 3: what is a unit outside the table?",
        where="public/privacy.json: privacy_unit, max_rows_per_unit",
        reply=claim.unit_in_full,
    ),
    Question(
        field="mechanisms",
        asks="Tier 3: which mechanisms ran, each with its share?",
        where="public/privacy.json: events.label, events.event, events.share",
        reply=claim.mechanisms,
    ),
    Question(
        field="post-processing",
        asks="Tier 3: what was done with the noisy answers?",
        where="public/privacy.json: generator",
        reply=claim.postprocessing,
    ),
    Question(
        field="composition",
        asks="Tier 3: how many releases draw on the same people, and what do they cost together?",
        where="public/privacy.json: ledger",
        reply=claim.releases,
    ),
    Question(
        field="accounting",
        asks="Tier 3: how was the loss worked out?",
        where="public/privacy.json: accountant, witness, witness_epsilon, events",
        reply=claim.accounting,
    ),
    Question(
        field="ledger",
        asks="Tier 3: where are the charges booked?",
        where="public/privacy.json: ledger",
        reply=claim.ledger,
    ),
    Question(
        field="origin of the input",
        asks="Tier 3: was the input itself synthetic?",
        where="public/privacy.json: input_generation, lineage; public/manifest.json: generation, "
        "made_from",
        reply=claim.lineage,
    ),
    Question(
        field="implementation",
        asks="Tier 3: which software, with which randomness?",
        where="public/privacy.json: versions, noise_source",
        reply=claim.implementation,
    ),
    Question(
        field="security",
        asks="Tier 3: how are the private rows and the run guarded?",
        where="public/certificate.json: about.source",
        reply=owner.collection,
    ),
    Question(
        field="reasons for choices",
        asks="Tier 3: why these parameters?",
        where="public/certificate.json: about.reasons; public/decision.json: rules.why",
        reply=owner.reasons,
    ),
    Question(
        field="judgement",
        asks="Beyond tier 3: which rules were applied, and were they fixed beforehand?",
        where="public/decision.json: policy_name, policy_hash; public/privacy.json: policy_hash",
        reply=judgement.policy,
    ),
    Question(
        field="verdict",
        asks="Beyond tier 3: what did the rules come to?",
        where="public/decision.json: verdict, rules",
        reply=judgement.verdict,
    ),
    Question(
        field="signature",
        asks="Beyond tier 3: who vouches for the files?",
        where="public/manifest.json: signed_by",
        reply=judgement.signature,
    ),
)
