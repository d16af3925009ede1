"""The card: model card and datasheet of a release, as Markdown for a person to read."""

from dpsynth.release.report.page import ReportData, facts
from dpsynth.release.report.templating import environment


def card(data: ReportData) -> str:
    """The card as Markdown text."""
    template = environment("dpsynth.release.documents", html=False).get_template("card.md.j2")
    return template.render(**facts(data), columns=data.schema.columns)
