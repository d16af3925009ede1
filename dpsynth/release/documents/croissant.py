"""MLCommons Croissant metadata of a released table: JSON-LD that data loaders and searches read.

Format: Croissant 1.1 with the vocabulary for responsible AI (RAI) 1.0, mlcommons.org/croissant.
"""

from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from dpsynth.columns import Column, Kind
from dpsynth.release.canonical import pretty_json
from dpsynth.release.documents.domain_text import domain_of
from dpsynth.release.manifest import FileRecord
from dpsynth.release.report.data import ReportData

CONFORMS_TO = ("http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0")
RECORDS = "rows"
MEDIA_TYPES = {".csv": "text/csv", ".parquet": "application/x-parquet"}
DATA_TYPES: dict[Kind, str] = {
    "integer": "sc:Integer",
    "numeric": "sc:Float",
    "categorical": "sc:Text",
    "boolean": "sc:Boolean",
    "datetime": "sc:Date",
    "identifier": "sc:Text",
}

# The context that the format prescribes, word for word: readers compare it.
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "name": {"@container": "@language"},
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


def croissant_text(data: ReportData, table: FileRecord) -> str:
    """The metadata as JSON-LD text.

    Args:
        data: the public edition; what the owner did not state is left out.
        table: the synthetic table; its path is relative to the file's own folder.
    """
    return pretty_json(
        {
            "@context": _CONTEXT,
            "@type": "sc:Dataset",
            "conformsTo": list(CONFORMS_TO),
            "name": data.about.title,
            "description": _description(data),
            **_owner(data),
            "datePublished": data.created[:10],
            "version": _version(data),
            "isLiveDataset": False,
            **_responsible(data),
            "distribution": [_file(table)],
            "recordSet": [
                {
                    "@type": "cr:RecordSet",
                    "@id": RECORDS,
                    "name": RECORDS,
                    "description": "Synthetic rows; none was taken from the private table.",
                    "field": [_field(column, table) for column in data.schema.columns],
                }
            ],
        }
    )


def field_id(name: str) -> str:
    """The identifier of a column's field: any name becomes a plain path that leads nowhere else."""
    # A dot is harmless in a file name, but "." and ".." alone would be resolved as folders.
    return f"{RECORDS}/{quote(name, safe='').replace('.', '%2E')}"


def _description(data: ReportData) -> str:
    return (
        f"A synthetic table, made by the generator {data.statement.generator}. "
        f"{data.statement.sentence}"
    )


def _owner(data: ReportData) -> dict[str, Any]:
    """Who, and under which terms; a key that was not stated is left out."""
    about = data.about
    stated: dict[str, Any] = {}
    if about.licence:
        stated["license"] = about.licence
    if about.curator:
        stated["creator"] = {"@type": "sc:Organization", "name": about.curator}
        stated["citeAs"] = f"{about.curator}: {about.title}, {data.created[:4]}"
    return stated


def _version(data: ReportData) -> str:
    """The n-th release from the same people is version n; the format wants three numbers."""
    ledger = data.statement.ledger
    return f"{1 if ledger is None else ledger.releases}.0.0"


def _responsible(data: ReportData) -> dict[str, Any]:
    """Facts in the RAI vocabulary: on privacy, on limits, and what the owner states."""
    about, statement = data.about, data.statement
    limits = (
        *(f"Not protected: {item}" for item in statement.unprotected),
        *statement.clamping,
        "Small groups carry the largest errors, as the noise is the same for all.",
    )
    found: dict[str, Any] = {
        "rai:personalSensitiveInformation": [statement.sentence],
        "rai:dataLimitations": list(limits),
    }
    if about.source:
        found["rai:dataCollection"] = about.source
    if about.purpose:
        found["rai:dataUseCases"] = [about.purpose]
    if about.contact:
        found["rai:dataReleaseMaintenancePlan"] = f"Questions go to {about.contact}"
    return found


def _file(table: FileRecord) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": table.path,
        "name": table.path,
        "contentUrl": table.path,
        "contentSize": f"{table.bytes} B",
        "encodingFormat": MEDIA_TYPES[PurePosixPath(table.path).suffix],
        "sha256": table.sha256,
    }


def _field(column: Column, table: FileRecord) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": field_id(column.name),
        "name": column.name,
        "description": _field_text(column),
        "dataType": DATA_TYPES[column.kind],
        "source": {"fileObject": {"@id": table.path}, "extract": {"column": column.name}},
    }


def _field_text(column: Column) -> str:
    missing = "may be missing" if column.nullable else "never missing"
    # A reader of CSV that guesses kinds makes 7 of "007", and nothing of the word "NA".
    as_text = "; read it as text" if DATA_TYPES[column.kind] == "sc:Text" else ""
    return f"{column.kind}, {domain_of(column)}, {missing}{as_text}"
