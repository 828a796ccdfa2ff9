"""Options of the command line that several verbs share, and one for each setting, made from the setting's field.

Values are passed on as texts, so that `config` validates them all at once and names each as it was written.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic.fields import FieldInfo

from proxy.config.field_types import metavar, shown_default
from proxy.config.loading import ConfigError, Resolved, resolve
from proxy.config.naming import SettingPath, flag, key, settings_fields

if TYPE_CHECKING:
    from proxy.builds.store_access import DataPlace

EXIT_STATUS = "EXIT STATUS: 0 done, 1 failed, 2 wrong usage or configuration, 130 interrupted."

ConfigFile = Annotated[str | None, typer.Option("--config", metavar="FILE", help="Settings file, in TOML.")]
DataFolder = Annotated[str | None, typer.Option("--data", metavar="FOLDER", help="Folder of the cached files.")]
CacheAddress = Annotated[
    str | None,
    typer.Option("--cache", metavar="HOST[:PORT]", help="The cache's address for builds, in place of a search."),
]
IndexMount = Annotated[
    str | None, typer.Option("--index", metavar="MOUNT", help="The index or group that pip and uv use.")
]


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """The same command with an option for each setting, in place of its `**flags`; their names are `option_name`."""
    own = inspect.signature(command, eval_str=True).parameters.values()
    fixed = [parameter for parameter in own if parameter.kind is not parameter.VAR_KEYWORD]
    flags = [_parameter(path, field) for path, field in settings_fields()]
    command.__signature__ = inspect.Signature([*fixed, *flags])  # type: ignore[attr-defined] # read by the library
    return command


def option_name(path: SettingPath) -> str:
    """The name of a setting's option as a parameter."""
    return "_".join(path)


def is_switch(path: SettingPath, field: FieldInfo) -> bool:
    """Whether a setting's flag has no value: what the whole cache does or does not, such as `--offline`."""
    return field.annotation is bool and len(path) == 1


def resolved(environ: Mapping[str, str], **flags: str | bool | None) -> Resolved:
    """The settings of file, variables and flags, and where each came from. Ends with status 2 if some are wrong."""
    texts = {name: str(value).lower() if isinstance(value, bool) else value for name, value in flags.items()}
    try:
        return resolve(texts, environ, working_folder())
    except ConfigError as error:
        raise wrong(error) from None


def wrong(error: ConfigError) -> typer.Exit:
    """Say what is wrong with the settings; gives the end of the command."""
    for line in error.errors:
        typer.echo(f"pullthrough: {line}", err=True)
    return typer.Exit(2)


def working_folder() -> Path:
    """The folder of this process. Raises ConfigError if it is gone."""
    try:
        return Path.cwd()
    except OSError:
        raise ConfigError(["the working folder was removed; change to another one"]) from None


def _parameter(path: SettingPath, field: FieldInfo) -> inspect.Parameter:
    annotation: Any
    if is_switch(path, field):
        annotation = Annotated[bool | None, typer.Option(f"{flag(path)}/--no-{key(path)}", help=_help(field))]
    else:
        annotation = Annotated[str | None, typer.Option(flag(path), metavar=metavar(field), help=_help(field))]
    return inspect.Parameter(option_name(path), inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _help(field: FieldInfo) -> str:
    default = shown_default(field)
    text = field.description or ""
    return (text if default == "(none)" else f"{text} Default: {default}.").replace("`", "")


def data_place(environ: Mapping[str, str], config: str | None, data: str | None) -> DataPlace:
    """The data folder of file, environment and flags. Ends with status 2 if some are wrong."""
    found = resolved(environ, config=config, data=data)
    from proxy.builds.store_access import DataPlace  # noqa: PLC0415 - its libraries take a moment to load

    chosen = found.origin(("data",)).kind != "default"
    return DataPlace(found.settings.data, found.settings.disk, chosen, found.settings)
