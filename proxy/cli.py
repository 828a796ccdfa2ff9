"""The command line: the verbs and their options; nothing else.

What several verbs share, and the option of each setting, are in `options`.

Exit statuses: 0 done, 1 failed, 2 wrong usage or configuration, 130 interrupted.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup
from typer.main import get_command

from proxy import operating_system, options, version
from proxy.config.credentials import KnownCredentials
from proxy.config.loading import ConfigError
from proxy.config.naming import key, settings_fields
from proxy.config.proxy_selection import KnownProxies
from proxy.options import CacheAddress, ConfigFile, DataFolder, IndexMount

if TYPE_CHECKING:
    from proxy.builds.store_access import DataPlace

_EXIT_STATUS = "EXIT STATUS: 0 done, 1 failed, 2 wrong usage or configuration, 130 interrupted."

cli = typer.Typer(
    name="pullthrough",
    help="A pull-through caching proxy for pip and apt.",
    epilog=_EXIT_STATUS,
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command line and end the process with its exit status."""
    cli()


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - a callback of the library
    if wanted:
        typer.echo(f"pullthrough {version()}")
        raise typer.Exit


@cli.callback()
def everywhere(
    *,
    version: Annotated[  # noqa: ARG001 - shown and done by its callback
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """A pull-through caching proxy for pip and apt."""
    if (reason := operating_system.unsupported()) is not None:
        typer.echo(f"pullthrough: {reason}", err=True)
        raise typer.Exit(1)


@cli.command(epilog=_EXIT_STATUS)
@options.with_settings
def serve(
    *,
    config: ConfigFile = None,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Show every setting and where its value came from, and exit.")
    ] = False,
    **flags: str | None,
) -> None:
    """Run the proxy until it is interrupted."""
    given = {key(path): flags[options.option_name(path)] for path, _ in settings_fields()}
    resolved = options.resolved(os.environ, config=config, **given)
    try:
        proxies = KnownProxies.find(resolved.settings, os.environ)
        credentials = None if print_config else KnownCredentials.find(resolved.settings, os.environ)
    except ConfigError as error:
        raise options.wrong(error) from None
    if credentials is None:
        from proxy.config.reference import listing  # noqa: PLC0415 - late, as the server is

        typer.echo(listing(resolved, proxies), nl=False)
        return
    from proxy.commands import serve as command  # noqa: PLC0415 - the server's libraries take a second to load

    raise typer.Exit(command.serve(resolved.settings, credentials, proxies))


@cli.command(epilog=_EXIT_STATUS)
def healthcheck(
    *,
    config: ConfigFile = None,
    host: Annotated[
        str | None, typer.Option("--host", metavar="ADDRESS", help="The address that it listens on.")
    ] = None,
    port: Annotated[str | None, typer.Option("--port", metavar="NUMBER", help="The port that it listens on.")] = None,
) -> None:
    """Ask the running proxy whether it serves, as the health check of a container does."""
    settings = options.resolved(os.environ, config=config, host=host, port=port).settings
    from proxy.commands import healthcheck as command  # noqa: PLC0415 - only what the verb needs is loaded

    raise typer.Exit(command.healthcheck(settings.host, settings.port))


_BUILD_EPILOG = (
    "EXIT STATUS: the build's own; 1 no build could be run, 2 wrong usage or configuration, 130 interrupted."
)


@cli.command(
    epilog=_BUILD_EPILOG,
    # No short option: those of docker may stand together in one argument, as in -qt.
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": ["--help"]},
)
def build(
    context: typer.Context,
    *,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON on standard output.")] = False,
    cache: CacheAddress = None,
    index: IndexMount = None,
) -> None:
    """Run docker build through the cache: pullthrough build [CONTEXT] [any option of docker build].

    Without -f it builds Dockerfile.cached if there is one, without -t the tag is FOLDER-cached:latest.
    """
    settings = options.resolved(os.environ).settings
    from proxy.commands import build as command  # noqa: PLC0415 - its libraries take a moment to load

    flags = command.BuildFlags(settings, json, cache, index)
    raise typer.Exit(command.build(context.args, flags, os.environ, options.working_folder()))


@cli.command(epilog="EXIT STATUS: 0 nothing is wrong, 1 something is, 2 wrong usage or configuration, 130 interrupted.")
def doctor(  # noqa: PLR0913 - each is an option
    *,
    file: Annotated[str | None, typer.Option("--file", "-f", metavar="FILE", help="The Dockerfile to look at.")] = None,
    builder: Annotated[str | None, typer.Option("--builder", metavar="NAME", help="The builder, as of docker.")] = None,
    project: Annotated[
        str, typer.Option("--project", metavar="NAME", help="A project that is fetched from the index.")
    ] = "six",
    json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
    cache: CacheAddress = None,
    index: IndexMount = None,
) -> None:
    """Look at all that a build through the cache needs, and say how to mend what is wrong."""
    settings = options.resolved(os.environ).settings
    from proxy.commands import doctor as command  # noqa: PLC0415 - its libraries take a moment to load

    flags = command.DoctorFlags(settings, json, cache, index, file, builder, project)
    raise typer.Exit(command.doctor(flags, os.environ, options.working_folder()))


@cli.command(epilog=_EXIT_STATUS)
def stats(  # noqa: PLR0913 - each is an option
    *,
    json: Annotated[bool, typer.Option("--json", help="Print JSON; with --watch a line for each look.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Look again every two seconds until interrupted.")] = False,
    docker: Annotated[
        bool, typer.Option("--docker", help="Also what Docker's images, build layers and cache mounts take.")
    ] = False,
    largest: Annotated[
        int,
        typer.Option("--largest", metavar="NUMBER", min=0, max=10_000, help="How many of the largest files to list."),
    ] = 10,
    config: ConfigFile = None,
    data: DataFolder = None,
) -> None:
    """Show what is stored, by index and kind, and what that saved."""
    place = _data_place(config, data)
    from proxy.commands import stats as command  # noqa: PLC0415 - its libraries take a moment to load

    raise typer.Exit(command.stats(command.StatsFlags(place, json, watch, docker, largest), os.environ))


@cli.command(epilog=_EXIT_STATUS)
def clean(  # noqa: PLR0913 - each is an option
    *,
    index: Annotated[
        str | None, typer.Option("--index", metavar="MOUNT", help="Of this index; apt, or a host, for archives.")
    ] = None,
    project: Annotated[
        str | None, typer.Option("--project", metavar="NAME", help="Of this project, or Debian package.")
    ] = None,
    version: Annotated[
        str | None, typer.Option("--version", metavar="VERSION", help="Of this version of the project.")
    ] = None,
    older_than: Annotated[
        str | None, typer.Option("--older-than", metavar="TIME", help="Fetched or confirmed longer ago, as in 30d.")
    ] = None,
    larger_than: Annotated[
        str | None, typer.Option("--larger-than", metavar="SIZE", help="Larger than this, as in 100MB.")
    ] = None,
    down_to: Annotated[
        str | None,
        typer.Option("--down-to", metavar="SIZE", help="The longest unused, until no more than this is stored."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Everything.")] = False,
    docker: Annotated[bool, typer.Option("--docker", help="BuildKit's cache mounts that no build uses.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print as JSON what would go; with --yes remove it, a line for each step.")
    ] = False,
    config: ConfigFile = None,
    data: DataFolder = None,
) -> None:
    """Remove what is stored, also while the cache runs. All conditions that are given must hold.

    Shows what and how much first, and asks.
    """
    place = _data_place(config, data)
    from proxy.commands import clean as command  # noqa: PLC0415 - its libraries take a moment to load

    flags = command.CleanFlags(
        place, index, project, version, older_than, larger_than, down_to, everything, docker, yes, json
    )
    raise typer.Exit(command.clean(flags, os.environ))


@cli.command(epilog=_EXIT_STATUS)
def verify(
    *,
    json: Annotated[bool, typer.Option("--json", help="Print a line of JSON for each step.")] = False,
    config: ConfigFile = None,
    data: DataFolder = None,
) -> None:
    """Hash every stored file, also while the cache runs. Damaged ones are removed, and fetched again when asked for."""
    place = _data_place(config, data)
    from proxy.commands import verify as command  # noqa: PLC0415 - its libraries take a moment to load

    raise typer.Exit(command.verify(command.VerifyFlags(place, json), os.environ))


def _data_place(config: str | None, data: str | None) -> DataPlace:
    """The data folder of file, environment and flags. Ends with status 2 if some are wrong."""
    resolved = options.resolved(os.environ, config=config, data=data)
    from proxy.builds.store_access import DataPlace  # noqa: PLC0415 - its libraries take a moment to load

    settings = resolved.settings
    return DataPlace(settings.data, settings.disk, resolved.origin(("data",)).kind != "default")


@cli.command(epilog=_EXIT_STATUS)
def setup(  # noqa: PLR0913 - each is an option
    *,
    process: Annotated[
        bool, typer.Option("--process", help="No container: a process that systemd or launchd starts.")
    ] = False,
    monitoring: Annotated[bool, typer.Option("--monitoring", help="Prometheus and Grafana beside the cache.")] = False,
    write: Annotated[
        str,
        typer.Option("--write", metavar="CLIENTS", help="Write the files of these clients: pip,uv,apt,docker; or all."),
    ] = "",
    only_print: Annotated[bool, typer.Option("--print", help="Show what would be done, and change nothing.")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Take back everything that setup has changed.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --remove: delete stored files without asking.")] = False,
    host: Annotated[
        str | None,
        typer.Option("--host", metavar="ADDRESS", help="Listen here, in place of 127.0.0.1 and Docker's bridge."),
    ] = None,
    port: Annotated[str | None, typer.Option("--port", metavar="NUMBER", help="Listen on this port.")] = None,
    data: DataFolder = None,
    index: IndexMount = None,
) -> None:
    """Start the cache for good, prove that builds reach it, and show or write the lines for pip, uv, apt and Docker."""
    resolved = options.resolved(os.environ, host=host, port=port, data=data)
    from proxy.commands import setup as command  # noqa: PLC0415 - its libraries take a moment to load

    flags = command.SetupFlags(resolved, process, monitoring, write, only_print, remove, yes, index)
    raise typer.Exit(command.setup(flags, os.environ, options.working_folder()))


@cli.command("help", epilog=_EXIT_STATUS)
def show_help(
    context: typer.Context,
    verb: Annotated[str | None, typer.Argument(help="The verb to explain.", show_default=False)] = None,
) -> None:
    """Show the verbs with examples, or the options of one of them."""
    from proxy.commands.help import OVERVIEW  # noqa: PLC0415 - as all commands

    if verb is None:
        typer.echo(OVERVIEW, nl=False)
        return
    above = context.find_root()
    command = get_command(cli)
    found = command.get_command(above, verb) if isinstance(command, TyperGroup) else None
    if found is None:
        typer.echo(f"pullthrough: there is no verb {verb}; all of them: pullthrough help", err=True)
        raise typer.Exit(2)
    with found.make_context(verb, [], parent=above, resilient_parsing=True) as of_verb:
        typer.echo(found.get_help(of_verb))
