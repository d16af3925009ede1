"""The certificate: what four frameworks ask of a release, answered field by field."""

from dpsynth.release.canonical import pretty_json
from dpsynth.release.report.page import ReportData


def certificate_text(data: ReportData) -> str:
    """The certificate as JSON text."""
    return pretty_json({"verdict": data.decision.verdict})
