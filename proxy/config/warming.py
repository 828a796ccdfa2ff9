"""The settings of `[[warm]]`: what the running cache is to have, looked after again and again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from proxy.config.field_types import Duration
from proxy.config.upstreams import repeated

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
LEAST = 60.0  # seconds


class WarmSettings(BaseModel):
    """What `pullthrough warm` is run for, and how often."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="What the log and the API call it: lower-case letters, digits and hyphens.")
    what: tuple[str, ...] = Field(
        (),
        description="What `pullthrough warm` takes: lock files, requirements files, Dockerfiles and SBOMs by their "
        "whole paths, and requirements.",
    )
    every: Duration = Field(
        86400.0, ge=LEAST, description="How long after the beginning of one run the next one begins."
    )
    platforms: tuple[str, ...] = Field((), description="Platforms, as `--platform` names them. Empty: this machine's.")
    python_versions: tuple[str, ...] = Field(
        (), description="Versions of Python, as `--python-version` names them. Empty: that of the cache itself."
    )
    index: str = Field("pypi", description="The mount of the index that requirements are resolved with.")
    tools: bool = Field(default=True, description="Also the newest pip, setuptools, wheel and uv.")
    apt: tuple[str, ...] = Field((), description="Packages of apt, as `--apt` names them.")
    apt_sources: tuple[str, ...] = Field(
        (), description="Where apt finds them, as `--apt-source` names it. Empty: the sources of this machine."
    )
    apt_architecture: str = Field("", description="Their architecture. Empty: this machine's.")

    @field_validator("name")
    @classmethod
    def _check_name(cls, value: str) -> str:
        if not _NAME.fullmatch(value):
            raise ValueError("must be lower-case letters, digits and hyphens, such as nightly")
        return value

    @model_validator(mode="after")
    def _check_something(self) -> WarmSettings:
        if not self.what and not self.apt:
            raise ValueError("names nothing: write what to warm, or packages in apt")
        return self

    def arguments(self) -> list[str]:
        """The words behind `pullthrough warm`."""
        return ["--json", *self._options(), "--", *self.what]

    def _options(self) -> Iterator[str]:
        lists = (
            ("--platform", self.platforms),
            ("--python-version", self.python_versions),
            ("--apt", self.apt),
            ("--apt-source", self.apt_sources),
        )
        yield from ("--index", self.index)
        yield from (word for option, values in lists for value in values for word in (option, value))
        if self.apt_architecture:
            yield from ("--apt-architecture", self.apt_architecture)
        if not self.tools:
            yield "--no-tools"


def _check_names(value: tuple[WarmSettings, ...]) -> tuple[WarmSettings, ...]:
    for name in repeated([one.name for one in value]):
        raise ValueError(f"{name} is there twice; each entry needs a name of its own")
    return value


Warms = Annotated[tuple[WarmSettings, ...], AfterValidator(_check_names)]
