"""What four frameworks ask of a release, field by field, and what this one answers.

It says where each question is answered. It does not say that a law is kept: that is for a person.
"""

from dpsynth.release.documents.frameworks import hipaa, nist, registry, wp29
from dpsynth.release.documents.frameworks.question import Answer, Framework, Question
from dpsynth.release.report.data import ReportData

FRAMEWORKS: tuple[tuple[Framework, tuple[Question, ...]], ...] = tuple(
    (room.NAME, room.QUESTIONS) for room in (nist, wp29, hipaa, registry)
)


def answers(data: ReportData) -> tuple[Answer, ...]:
    """Every question of every framework, in order, with its answer in this edition."""
    return tuple(
        _answer(framework, question, data)
        for framework, questions in FRAMEWORKS
        for question in questions
    )


def mapping_table() -> str:
    """The questions and where a bundle answers them, as Markdown: a heading and a table each."""
    return "\n".join(_section(name, questions) for name, questions in FRAMEWORKS)


def _answer(framework: Framework, question: Question, data: ReportData) -> Answer:
    reply = question.reply(data)
    return Answer(
        framework=framework,
        field=question.field,
        question=question.asks,
        answer=reply.text,
        status=reply.status,
        where=question.where,
    )


def _section(name: Framework, questions: tuple[Question, ...]) -> str:
    rows = "".join(f"| {q.field} | {q.asks} | {_marked(q.where)} |\n" for q in questions)
    return f"### {name}\n\n| field | what is asked | where |\n|---|---|---|\n{rows}"


def _marked(where: str) -> str:
    """Each file in code marks, its fields behind it."""
    parts = (part.partition(": ") for part in where.split("; "))
    return "; ".join(f"`{file}`{colon}{fields}" for file, colon, fields in parts)
