"""The command line: the verbs and their options; nothing else.

What several verbs share, and the option of each setting, are in `options`.

Exit statuses: 0 done, 1 failed, 2 wrong usage or configuration, 130 interrupted.
"""

from __future__ import annotations

import os
from typing import Annotated

import typer
from typer.core import TyperGroup
from typer.main import get_command

from proxy import operating_system, options, version
from proxy.bundle_verbs import verbs as bundle_verbs
from proxy.config.credentials import KnownCredentials
from proxy.config.loading import ConfigError
from proxy.config.naming import key, settings_fields
from proxy.config.proxy_selection import KnownProxies
from proxy.config.settings import PREFIX
from proxy.options import EXIT_STATUS, CacheAddress, ConfigFile, DataFolder, IndexMount
from proxy.store_verbs import verbs

cli = typer.Typer(
    name="pullthrough",
    help="A pull-through caching proxy for pip and apt.",
    epilog=EXIT_STATUS,
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


@cli.command(epilog=EXIT_STATUS)
@options.with_settings
def serve(
    *,
    config: ConfigFile = None,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Show every setting and where its value came from, and exit.")
    ] = False,
    **flags: str | bool | None,
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

    environ = {**os.environ, **({f"{PREFIX}CONFIG": str(config)} if config else {})}
    raise typer.Exit(command.serve(resolved.settings, credentials, proxies, environ))


@cli.command(epilog=EXIT_STATUS)
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


@cli.command(
    epilog="EXIT STATUS: 0 all is there, 1 something cannot be had, 2 wrong usage or configuration, 3 --check: "
    "something is missing, 130 interrupted."
)
def warm(  # noqa: PLR0913 - each is an option
    wanted: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[WHAT...]",
            help="Lock files (pylock.toml, uv.lock, poetry.lock, pdm.lock), requirements.txt, CycloneDX SBOMs, "
            "Dockerfiles, requirements such as demo==1.0, names of files, or addresses of files of apt archives.",
            show_default=False,
        ),
    ] = None,
    *,
    platforms: Annotated[
        list[str] | None,
        typer.Option("--platform", metavar="NAME", help="A platform as pip or uv name it; several times for several."),
    ] = None,
    pythons: Annotated[
        list[str] | None,
        typer.Option("--python-version", metavar="VERSION", help="A version of Python; several times for several."),
    ] = None,
    apt: Annotated[
        list[str] | None,
        typer.Option("--apt", metavar="PACKAGES", help="Packages of apt, such as 'curl jq', with all that they need."),
    ] = None,
    sources: Annotated[
        list[str] | None,
        typer.Option(
            "--apt-source",
            metavar="SOURCE",
            help="Where apt finds them: 'http://mirror.example/debian bookworm main', or a file of sources. Without: "
            "this machine's sources.",
        ),
    ] = None,
    architecture: Annotated[
        str | None, typer.Option("--apt-architecture", metavar="NAME", help="Another architecture, such as arm64.")
    ] = None,
    recommends: Annotated[
        bool, typer.Option("--install-recommends/--no-install-recommends", help="Also what packages recommend.")
    ] = True,
    check: Annotated[bool, typer.Option("--check", help="Fetch none of the files: say which are missing.")] = False,
    tools: Annotated[bool, typer.Option(help="Also the newest pip, setuptools, wheel and uv.")] = True,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    index: IndexMount = None,
    config: ConfigFile = None,
) -> None:
    """Have in the running cache what a build will ask for, so that it can be built offline."""
    place = options.data_place(os.environ, config, None)
    from proxy.commands import warm as command  # noqa: PLC0415 - its libraries take a moment to load
    from proxy.warming.wishes import AptWish  # noqa: PLC0415 - likewise

    flags = command.WarmFlags(
        tuple(wanted or ()),
        tuple(platforms or ()),
        tuple(pythons or ()),
        index or "pypi",
        AptWish(tuple(apt or ()), tuple(sources or ()), architecture, recommends),
        check=check,
        tools=tools,
        json=json,
    )
    raise typer.Exit(command.warm(flags, place, os.environ))


cli.add_typer(verbs)
cli.add_typer(bundle_verbs)


@cli.command(epilog=EXIT_STATUS)
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
    yes: Annotated[
        bool, typer.Option("--yes", help="With --remove: delete stored files and volumes without asking.")
    ] = False,
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


@cli.command("help", epilog=EXIT_STATUS)
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
