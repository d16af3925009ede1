"""HIPAA, 45 CFR 164.514(b)(1): an expert determines that the risk is very small, and documents why.

With the guidance of the Department of Health and Human Services (2012) on how experts go about it.
"""

from dpsynth.release.documents.frameworks import claim, judgement, owner
from dpsynth.release.documents.frameworks.question import Framework, Question

NAME: Framework = "HIPAA expert determination"
QUESTIONS = (
    Question(
        field="expert",
        asks="Who determines the risk, and with which knowledge and experience?",
        where="public/certificate.json: about",
        reply=owner.expert,
    ),
    Question(
        field="principles and methods",
        asks="Which generally accepted methods were applied?",
        where="public/privacy.json: epsilon_spent, delta, events, accountant, witness",
        reply=claim.methods,
    ),
    Question(
        field="anticipated recipient",
        asks="Who is expected to receive the table?",
        where="public/certificate.json: about.recipients; public/decision.json: audience",
        reply=owner.recipients,
    ),
    Question(
        field="other available information",
        asks="What can a recipient do who joins it with other information?",
        where="public/privacy.json: max_advantage, tpr_at_fpr, tradeoff",
        reply=claim.attack_bounds,
    ),
    Question(
        field="threshold set beforehand",
        asks="Which limits applied, and were they fixed before anything was measured?",
        where="public/decision.json: rules.limit, policy_hash; public/privacy.json: policy_hash",
        reply=judgement.threshold,
    ),
    Question(
        field="risk measured",
        asks="Which attacks were tried after the change, and how did they end?",
        where="public/decision.json: rules; internal/audit.json",
        reply=judgement.attacks,
    ),
    Question(
        field="very small risk",
        asks="Is the risk that a person is identified very small?",
        where="public/privacy.json: tpr_at_fpr",
        reply=judgement.very_small,
    ),
    Question(
        field="direct identifiers",
        asks="What became of names and numbers that point at a person?",
        where="public/schema.json: columns.kind",
        reply=claim.identifiers,
    ),
    Question(
        field="documentation",
        asks="Are methods and results documented, so that others can check them?",
        where="public/manifest.json: files, internal_manifest, signed_by",
        reply=judgement.record,
    ),
    Question(
        field="exceptions",
        asks="Which rules were set aside, by whom and why?",
        where="public/decision.json: rules.waiver",
        reply=judgement.waivers,
    ),
    Question(
        field="time limit",
        asks="For how long does the determination hold?",
        where="public/certificate.json: created",
        reply=owner.review,
    ),
)
