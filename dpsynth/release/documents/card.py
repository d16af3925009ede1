"""The card: model card and datasheet of a release, as Markdown for a person to read.

Sections: Gebru et al. 2021, Datasheets for Datasets, arXiv:1803.09010; Mitchell et al. 2019, Model
Cards for Model Reporting, arXiv:1810.03993.
"""

from dpsynth.release.documents.answers import answers
from dpsynth.release.documents.domain_text import domain_of
from dpsynth.release.documents.markdown import markdown_environment
from dpsynth.release.report.data import ReportData
from dpsynth.release.report.facts import facts

NOT_STATED = "Not stated."


def card(data: ReportData) -> str:
    """The card as Markdown text; what the owner did not state is said to be not stated."""
    template = markdown_environment("dpsynth.release.documents").get_template("card.md.j2")
    replies = answers(data)
    return template.render(
        **facts(data),
        columns=[(column, domain_of(column)) for column in data.schema.columns],
        stated=lambda text: text or NOT_STATED,
        open_questions=sum(reply.status == "open" for reply in replies),
        questions=len(replies),
    )
