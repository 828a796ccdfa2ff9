"""CycloneDX SBOMs (ECMA-424), in JSON and XML → the pins of what they have of Python's indexes. Pure.

A component's package URL says what it is: `pkg:pypi/demo@1.0`, perhaps with the index (`?repository_url=`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qs, unquote
from xml.etree import ElementTree as ET

from packaging.utils import canonicalize_name
from packaging.version import Version

from proxy.warming.conditions import widened

T = TypeVar("T")

_PYPI = "pkg:pypi/"
_MARKER = ":package:marker"  # the end of a property's name, as uv writes it
_ELSEWHERE = ("vcs_url", "download_url")  # qualifiers of what is from no index


@dataclass(frozen=True, slots=True)
class Sbom:
    """What one has: pins, and addresses of the indexes that some are of. `left_out`: what is of no index, and where.

    `apart`: further versions of what is among the `lines`, which no resolver would take together.
    """

    lines: tuple[str, ...] = ()
    indexes: tuple[str, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    apart: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _ListedComponent:
    purl: str
    properties: Mapping[str, str]


def of_json(text: str) -> Sbom:
    """Read one in JSON. Raises ValueError, TypeError, AttributeError, RecursionError."""
    document = json.loads(text)
    if document.get("bomFormat") != "CycloneDX":
        raise ValueError("a JSON file has to be a CycloneDX SBOM")
    return _sbom(_of_components(document.get("components", ())))


def of_xml(text: str) -> Sbom:
    """Read one in XML. Raises ValueError."""
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError("an SBOM has no document type")
    try:
        root = ET.fromstring(text)  # noqa: S314 - without a document type there are no entities
    except ET.ParseError as error:
        raise ValueError(str(error)) from error
    if root.tag.rpartition("}")[2] != "bom" or "cyclonedx.org" not in root.tag:
        raise ValueError("an XML file has to be a CycloneDX SBOM")
    return _sbom(map(_of_element, root.iterfind("{*}components//{*}component")))


def _of_element(component: ET.Element) -> _ListedComponent:
    properties = component.iterfind("{*}properties/{*}property")
    return _ListedComponent(
        (component.findtext("{*}purl") or "").strip(), {one.get("name", ""): one.text or "" for one in properties}
    )


def _of_components(components: Iterable[Mapping[str, Any]]) -> Iterator[_ListedComponent]:
    """All; nested ones too."""
    for component in components:
        properties = {str(one.get("name")): one.get("value", "") for one in component.get("properties") or ()}
        yield _ListedComponent(str(component.get("purl", "")), properties)
        yield from _of_components(component.get("components", ()))


def _sbom(components: Iterable[_ListedComponent]) -> Sbom:
    lines, indexes, left_out, apart = dict[str, str](), list[str](), list[tuple[str, str]](), list[str]()
    for component in components:
        if not component.purl.lower().startswith(_PYPI):
            continue
        plain, _, said = component.purl[len(_PYPI) :].partition("#")[0].partition("?")
        name, at, version = plain.partition("@")
        qualifiers = parse_qs(said)
        project = canonicalize_name(unquote(name))
        pin = f"{project}=={Version(unquote(version))}" if at else ""
        where = next((qualifiers[key][0] for key in _ELSEWHERE if key in qualifiers), None)
        if where is not None:
            left_out.append((pin or project, where))
        elif pin:
            marker = next((text for key, text in component.properties.items() if key.endswith(_MARKER)), "")
            line = f"{pin} ; {widened(marker)}" if marker else pin
            indexes += qualifiers.get("repository_url", [])
            if lines.setdefault(line if marker else project, line) != line:
                apart.append(line)
    return Sbom(tuple(lines.values()), _each(indexes), _each(left_out), _each(apart))


def _each(found: Iterable[T]) -> tuple[T, ...]:
    return tuple(dict.fromkeys(found))
