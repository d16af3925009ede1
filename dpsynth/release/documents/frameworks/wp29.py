"""Article 29 Working Party, Opinion 05/2014 on anonymisation techniques (WP216).

Three criteria, and advice on noise, on the original data and on looking again.
"""

from dpsynth.release.documents.frameworks import claim, judgement, owner
from dpsynth.release.documents.frameworks.question import Framework, Question

NAME: Framework = "WP29 Opinion 05/2014"
_RULES = "public/decision.json: rules; internal/audit.json"
QUESTIONS = (
    Question(
        field="singling out",
        asks="Can one person's record be isolated?",
        where=_RULES,
        reply=judgement.singling_out,
    ),
    Question(
        field="linkability",
        asks="Can two records of the same person be joined?",
        where=_RULES,
        reply=judgement.linkability,
    ),
    Question(
        field="inference",
        asks="Can a person's value be told from the person's other values?",
        where=_RULES,
        reply=judgement.inference,
    ),
    Question(
        field="membership",
        asks="Can it be told that a person took part (the three rest on it)?",
        where=_RULES,
        reply=judgement.membership,
    ),
    Question(
        field="means of identification",
        asks="What can anybody do who uses all means that are reasonably likely?",
        where="public/privacy.json: max_advantage, tpr_at_fpr, tradeoff",
        reply=claim.attack_bounds,
    ),
    Question(
        field="enough noise",
        asks="How much noise was added, and by which measure?",
        where="public/privacy.json: epsilon_spent, delta, events.event",
        reply=claim.guarantee,
    ),
    Question(
        field="answers that add up",
        asks="Are all answers from the same people counted together?",
        where="public/privacy.json: ledger",
        reply=claim.releases,
    ),
    Question(
        field="direct identifiers",
        asks="What became of names and numbers that point at a person?",
        where="public/schema.json: columns.kind",
        reply=claim.identifiers,
    ),
    Question(
        field="original data",
        asks="Is the original kept, and who can reach it?",
        where="public/certificate.json: about.source",
        reply=owner.original_kept,
    ),
    Question(
        field="context",
        asks="Who receives the table?",
        where="public/certificate.json: about.recipients; public/decision.json: audience",
        reply=owner.recipients,
    ),
    Question(
        field="looking again",
        asks="When is the remaining risk assessed anew?",
        where="public/certificate.json: created",
        reply=owner.review,
    ),
)
