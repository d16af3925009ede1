"""NIST SP 800-226 (March 2025): a claim is a pyramid, each layer resting on those below.

Top: the parameters and the unit. Middle: what can undermine them. Base: how data were collected.
"""

from dpsynth.release.documents.frameworks import claim, judgement, owner
from dpsynth.release.documents.frameworks.question import Framework, Question

NAME: Framework = "NIST SP 800-226"
QUESTIONS = (
    Question(
        field="privacy parameters",
        asks="Top: how large are epsilon and delta?",
        where="public/privacy.json: epsilon_spent, epsilon, delta, mu, tradeoff",
        reply=claim.guarantee,
    ),
    Question(
        field="meaning of the parameters",
        asks="Top: what do they leave to an attacker?",
        where="public/privacy.json: max_advantage, tpr_at_fpr, tradeoff",
        reply=claim.attack_bounds,
    ),
    Question(
        field="unit of privacy",
        asks="Top: whose data are hidden, and with how many rows each?",
        where="public/privacy.json: privacy_unit, max_rows_per_unit",
        reply=claim.unit,
    ),
    Question(
        field="neighbouring relation",
        asks="Top: which tables must look alike, and is the number of rows public?",
        where="public/privacy.json: neighboring_relation, events.label",
        reply=claim.relation,
    ),
    Question(
        field="composition",
        asks="Top: how many releases draw on the same people, and what do they cost together?",
        where="public/privacy.json: ledger",
        reply=claim.releases,
    ),
    Question(
        field="algorithms",
        asks="Middle: which mechanisms ran, and which share of the budget had each?",
        where="public/privacy.json: events.label, events.event, events.share",
        reply=claim.mechanisms,
    ),
    Question(
        field="sampling",
        asks="Middle: is the sampling that was accounted for the one that was executed?",
        where="public/privacy.json: sampling",
        reply=claim.sampling,
    ),
    Question(
        field="correctness of the accounting",
        asks="Middle: how was epsilon worked out, and who checked it?",
        where="public/privacy.json: accountant, witness, witness_epsilon, events",
        reply=claim.accounting,
    ),
    Question(
        field="correctness in practice",
        asks="Middle: was the claim put to the test, and how did that end?",
        where="public/decision.json: rules; internal/audit.json",
        reply=judgement.attacks,
    ),
    Question(
        field="utility and bias",
        asks="Middle: how good is the result, and for whom is it worse?",
        where="internal/report.html",
        reply=judgement.utility,
    ),
    Question(
        field="randomness and arithmetic",
        asks="Middle: can the noise be predicted, and is it safe on a computer's numbers?",
        where="public/privacy.json: noise_source, releasable",
        reply=claim.randomness,
    ),
    Question(
        field="software",
        asks="Middle: which software ran, in which versions?",
        where="public/privacy.json: versions; public/manifest.json: versions",
        reply=claim.environment,
    ),
    Question(
        field="trust model",
        asks="Middle: who has to be trusted?",
        where="public/certificate.json: about.curator",
        reply=claim.deployment,
    ),
    Question(
        field="side channels",
        asks="Middle: what does the run show besides its result?",
        where="public/certificate.json: about",
        reply=owner.side_channels,
    ),
    Question(
        field="leakage by the audit",
        asks="Middle: what is published that epsilon does not cover?",
        where="public/decision.json: publish",
        reply=judgement.audit_leakage,
    ),
    Question(
        field="unprotected quantities",
        asks="Middle: what is treated as public?",
        where="public/privacy.json: unprotected, clamping",
        reply=claim.unprotected,
    ),
    Question(
        field="data collection exposure",
        asks="Base: how were the data collected, where do they lie, who can read them?",
        where="public/certificate.json: about.source",
        reply=owner.collection,
    ),
)
