"""Croissant 1.1 of a data set in one CSV file, in JSON-LD. https://docs.mlcommons.org/croissant/"""

import json
from dataclasses import dataclass

from p2pverify.interop.foreign import Json, plain_path

VERSION = "http://mlcommons.org/croissant/1.1"
#: The names of Croissant and of schema.org for the types of columns.
TYPES = {"integer": "sc:Integer", "float": "sc:Float", "text": "sc:Text", "boolean": "sc:Boolean", "date": "sc:Date"}
_TERMS = (
    "citeAs column equivalentProperty extract field fileProperty fileObject fileSet format includes isLiveDataset "
    "jsonPath key md5 parentField path recordSet references regex repeated replace samplingRate separator source "
    "subField transform"
)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a CSV file: its name in the first line, its type (a key of TYPES), and what it means."""

    name: str
    type: str
    meaning: str = ""


@dataclass(frozen=True, slots=True)
class DataCard:
    """A data set, as its owner describes it.

    `file` is the path of the CSV file beside the card, and `sha256` (32 B) its digest. `licence` is an SPDX expression.
    `published` is a date (YYYY-MM-DD). `url` is where people read more; a URN will do. `sensitive` says which personal
    or sensitive information the rows have, and `collection` how they were collected; both may be empty.
    """

    name: str
    description: str
    columns: tuple[Column, ...]
    file: str
    sha256: bytes
    licence: str
    published: str
    url: str
    version: str = "1.0.0"
    cite_as: str = ""
    sensitive: str = ""
    collection: str = ""


def write_croissant(card: DataCard) -> str:
    """The card's JSON-LD. Raises ForeignError for a path that leads out of the folder, KeyError for a type."""
    file = plain_path(card.file)
    document: dict[str, Json] = {
        "@context": _context(),
        "@type": "sc:Dataset",
        "name": card.name,
        "description": card.description,
        "conformsTo": VERSION,
        "datePublished": card.published,
        "license": card.licence,
        "url": card.url,
        "version": card.version,
    }
    if card.cite_as:
        document["citeAs"] = card.cite_as
    if card.sensitive:
        document["rai:personalSensitiveInformation"] = card.sensitive
    if card.collection:
        document["rai:dataCollection"] = card.collection
    document["distribution"] = [
        {
            "@type": "cr:FileObject",
            "@id": file,
            "name": file,
            "contentUrl": file,
            "encodingFormat": "text/csv",
            "sha256": card.sha256.hex(),
        }
    ]
    fields: list[Json] = [_field(file, column) for column in card.columns]
    document["recordSet"] = [{"@type": "cr:RecordSet", "@id": "rows", "name": "rows", "field": fields}]
    return json.dumps(document, indent=2) + "\n"


def _field(file: str, column: Column) -> Json:
    found: dict[str, Json] = {"@type": "cr:Field", "@id": f"rows/{column.name}", "name": column.name}
    if column.meaning:
        found["description"] = column.meaning
    source: Json = {"fileObject": {"@id": file}, "extract": {"column": column.name}}
    return found | {"dataType": TYPES[column.type], "source": source}


def _context() -> Json:
    return {
        "@language": "en",
        "@vocab": "https://schema.org/",
        "cr": "http://mlcommons.org/croissant/",
        "rai": "http://mlcommons.org/croissant/RAI/",
        "dct": "http://purl.org/dc/terms/",
        "sc": "https://schema.org/",
        "conformsTo": "dct:conformsTo",
        "data": {"@id": "cr:data", "@type": "@json"},
        "examples": {"@id": "cr:examples", "@type": "@json"},
        "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
        **{term: f"cr:{term}" for term in _TERMS.split()},
    }
