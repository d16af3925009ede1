"""MLCommons Croissant metadata of a released table."""

from dpsynth.release.canonical import pretty_json
from dpsynth.release.manifest import FileRecord
from dpsynth.release.report.page import ReportData


def croissant_text(data: ReportData, table: FileRecord) -> str:
    """The metadata as JSON-LD text."""
    return pretty_json({"name": data.about.title, "sha256": table.sha256})
