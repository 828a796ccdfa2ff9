"""CycloneDX SBOMs, in JSON and XML."""

from __future__ import annotations

import json

import pytest

from proxy.warming.sboms import Sbom, of_json, of_xml

PURLS = (
    "pkg:pypi/Demo@1.0?file_name=x",
    "pkg:npm/left-pad@1.0.0",
    "pkg:conda/numpy@1.0",
    "pkg:PyPI/other@2.0%2Blocal?repository_url=https://index.example/simple",
    "pkg:pypi/demo@1.0#x",
    "pkg:pypi/no-version",
    "pkg:pypi/checked-out@3?vcs_url=git%2Bhttps://git.example/x",
)
FOUND = Sbom(
    ("demo==1.0", "other==2.0+local"),
    ("https://index.example/simple",),
    (("checked-out==3", "git+https://git.example/x"),),
)


def test_of_json() -> None:
    """Packages of PyPI, nested ones too, each once; what is of another index, and what is of none."""
    components = [{"purl": purl} for purl in PURLS[1:]]
    document = {"bomFormat": "CycloneDX", "components": [{"purl": PURLS[0], "components": components}, {"name": "x"}]}
    assert FOUND == of_json(json.dumps(document))
    assert Sbom() == of_json('{"bomFormat": "CycloneDX"}')


def test_of_json__several_versions() -> None:
    """Those that have markers go together, for whatever extras; others stand alone."""

    def component(purl: str, marker: str | None = None) -> dict[str, object]:
        properties = [{"name": "uv:package:marker", "value": marker}] if marker else None
        return {"purl": purl, "properties": properties}

    components = [
        component("pkg:pypi/a@1", "python_version < '3.12'"),
        component("pkg:pypi/a@2", "python_version >= '3.12' and extra == 'x'"),
        *(component(f"pkg:pypi/b@{version}") for version in (1, 2, 2)),
    ]
    found = of_json(json.dumps({"bomFormat": "CycloneDX", "components": components}))
    first, second, third = found.lines
    assert ("a==1 ; python_version < '3.12'", "b==1", ("b==2",)) == (first, third, found.apart)
    assert second.startswith("a==2 ; python_version >= '3.12' and ")
    assert "extra" not in second


@pytest.mark.parametrize("version", ["1.4", "1.5", "1.6"])
def test_of_xml(version: str) -> None:
    """The same in XML."""
    inner = "".join(f"<component type='library'><name>x</name><purl>{purl}</purl></component>" for purl in PURLS[1:])
    text = (
        f"<?xml version='1.0' encoding='UTF-8'?><bom xmlns='http://cyclonedx.org/schema/bom/{version}'>"
        "<metadata><component><purl>pkg:pypi/own@1</purl></component></metadata><components><component>"
        f"<purl>{PURLS[0]}</purl><components>{inner}</components></component></components></bom>"
    )
    assert FOUND == of_xml(text)
    marked = "<properties><property name='uv:package:marker'>os_name == 'x'</property></properties></component>"
    assert (
        "demo==1.0 ; os_name == 'x'"
        == of_xml(text.replace("</component></components></bom>", f"{marked}</components></bom>")).lines[0]
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<bom/>",
        "<html xmlns='http://cyclonedx.org/schema/bom/1.6'/>",
        "<!DOCTYPE bom [<!ENTITY a 'b'>]><bom xmlns='http://cyclonedx.org/schema/bom/1.6'/>",
        "<bom xmlns='http://cyclonedx.org/schema/bom/1.6'>",
    ],
)
def test_of_xml__none(text: str) -> None:
    """What is no SBOM, or has entities."""
    with pytest.raises(ValueError, match=r"SBOM|document type|element|token"):
        of_xml(text)


@pytest.mark.parametrize("text", ["{}", '{"bomFormat": "CycloneDX", "components": [{"purl": "pkg:pypi/a@one"}]}'])
def test_of_json__none(text: str) -> None:
    """Other documents, and versions that are none."""
    with pytest.raises(ValueError, match=r"SBOM|version"):
        of_json(text)


@pytest.mark.parametrize("encoding", ["utf-16", "ISO-8859-1"])
def test_of_xml__encoding(encoding: str) -> None:
    """The text is decoded already, whatever its first line says of that."""
    text = (
        f'<?xml version="1.0" encoding="{encoding}"?><bom xmlns="http://cyclonedx.org/schema/bom/1.5"><components>'
        "<component><name>é</name><purl>pkg:pypi/demo@1</purl></component></components></bom>"
    )
    assert Sbom(("demo==1",)) == of_xml(text)


def test_of_json__property_without_a_name() -> None:
    """It says nothing of where a component is needed."""
    component = {"purl": "pkg:pypi/demo@1", "properties": [{"value": "x"}]}
    assert Sbom(("demo==1",)) == of_json(json.dumps({"bomFormat": "CycloneDX", "components": [component]}))
