"""CycloneDX SBOMs (ECMA-424), in JSON and XML → the pins of what they have of Python's indexes. Pure.

A component's package URL says what it is: `pkg:pypi/demo@1.0`, perhaps with the index (`?repository_url=`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote
from xml.etree import ElementTree as ET

from packaging.utils import canonicalize_name
from packaging.version import Version

_PYPI = "pkg:pypi/"
_ELSEWHERE = ("vcs_url", "download_url")  # qualifiers of what is from no index


@dataclass(frozen=True, slots=True)
class Sbom:
    """What one has: pins, and addresses of the indexes that some are of. `left_out`: what is of no index, and where."""

    lines: tuple[str, ...] = ()
    indexes: tuple[str, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()


def of_json(text: str) -> Sbom:
    """Read one in JSON. Raises ValueError, TypeError, AttributeError, RecursionError."""
    document = json.loads(text)
    if document.get("bomFormat") != "CycloneDX":
        raise ValueError("a JSON file has to be a CycloneDX SBOM")
    return _pins(_of_components(document.get("components", ())))


def of_xml(text: str) -> Sbom:
    """Read one in XML. Raises ValueError."""
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError("an SBOM has no document type")
    try:
        root = ET.fromstring(text.encode())  # noqa: S314 - without a document type there are no entities
    except ET.ParseError as error:
        raise ValueError(str(error)) from error
    if root.tag.rpartition("}")[2] != "bom" or "cyclonedx.org" not in root.tag:
        raise ValueError("an XML file has to be a CycloneDX SBOM")
    components = root.iterfind("{*}components//{*}purl")
    return _pins(one.text.strip() for one in components if one.text)


def _of_components(components: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The package URLs; of nested components too."""
    for component in components:
        yield str(component.get("purl", ""))
        yield from _of_components(component.get("components", ()))


def _pins(purls: Iterable[str]) -> Sbom:
    lines, indexes, left_out = [], [], []
    for purl in purls:
        if not purl.lower().startswith(_PYPI):
            continue
        plain, _, said = purl[len(_PYPI) :].partition("#")[0].partition("?")
        name, at, version = plain.partition("@")
        qualifiers = parse_qs(said)
        pin = f"{canonicalize_name(unquote(name))}=={Version(unquote(version))}" if at else ""
        where = next((qualifiers[key][0] for key in _ELSEWHERE if key in qualifiers), None)
        if where is not None:
            left_out.append((pin or unquote(name), where))
        elif pin:
            lines.append(pin)
            indexes += qualifiers.get("repository_url", [])
    return Sbom(tuple(dict.fromkeys(lines)), tuple(dict.fromkeys(indexes)), tuple(dict.fromkeys(left_out)))
