"""The command line: the verbs and their options; nothing else.

Values are handed on as texts, so that `config` judges them all at once and names each as it was written.

Exit statuses: 0 done, 1 failed, 2 wrong usage or configuration, 130 interrupted.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from proxy import version
from proxy.config.credentials import KnownCredentials
from proxy.config.loading import ConfigError, resolve
from proxy.config.naming import explanation
from proxy.config.proxy_selection import KnownProxies

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


def _working_folder() -> Path:
    try:
        return Path.cwd()
    except OSError:
        raise ConfigError(["the working folder was removed; change to another one"]) from None


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - a callback of the library
    if wanted:
        typer.echo(f"pullthrough {version()}")
        raise typer.Exit


@cli.callback()
def everywhere(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """A pull-through caching proxy for pip and apt."""


@cli.command(epilog=_EXIT_STATUS)
def serve(  # noqa: PLR0913 - one parameter a flag
    *,
    config: Annotated[str | None, typer.Option("--config", metavar="FILE", help="Settings file, in TOML.")] = None,
    host: Annotated[str | None, typer.Option("--host", metavar="ADDRESSES", help=explanation("host"))] = None,
    port: Annotated[str | None, typer.Option("--port", metavar="NUMBER", help=explanation("port"))] = None,
    names: Annotated[str | None, typer.Option("--names", metavar="NAMES", help=explanation("names"))] = None,
    data: Annotated[str | None, typer.Option("--data", metavar="FOLDER", help=explanation("data"))] = None,
    disk: Annotated[str | None, typer.Option("--disk", metavar="SIZE", help=explanation("disk"))] = None,
    page_limit: Annotated[
        str | None, typer.Option("--page-limit", metavar="SIZE", help=explanation("page_limit"))
    ] = None,
    proxy: Annotated[str | None, typer.Option("--proxy", metavar="ADDRESS", help=explanation("proxy"))] = None,
    connections: Annotated[
        str | None, typer.Option("--fetch-connections", metavar="NUMBER", help=explanation("fetch.connections"))
    ] = None,
    segment: Annotated[
        str | None, typer.Option("--fetch-segment", metavar="SIZE", help=explanation("fetch.segment"))
    ] = None,
    connect_timeout: Annotated[
        str | None, typer.Option("--fetch-connect-timeout", metavar="TIME", help=explanation("fetch.connect_timeout"))
    ] = None,
    read_timeout: Annotated[
        str | None, typer.Option("--fetch-read-timeout", metavar="TIME", help=explanation("fetch.read_timeout"))
    ] = None,
    retries: Annotated[
        str | None, typer.Option("--fetch-retries", metavar="NUMBER", help=explanation("fetch.retries"))
    ] = None,
    downloads: Annotated[
        str | None, typer.Option("--fetch-downloads", metavar="NUMBER", help=explanation("fetch.downloads"))
    ] = None,
    least_rate: Annotated[
        str | None, typer.Option("--fetch-least-rate", metavar="SIZE", help=explanation("fetch.least_rate"))
    ] = None,
    threads: Annotated[
        str | None, typer.Option("--serve-threads", metavar="NUMBER", help=explanation("serve.threads"))
    ] = None,
    idle_timeout: Annotated[
        str | None, typer.Option("--serve-idle-timeout", metavar="TIME", help=explanation("serve.idle_timeout"))
    ] = None,
    client_connections: Annotated[
        str | None, typer.Option("--serve-connections", metavar="NUMBER", help=explanation("serve.connections"))
    ] = None,
    log_format: Annotated[
        str | None, typer.Option("--serve-log-format", metavar="json|text", help=explanation("serve.log_format"))
    ] = None,
    apt_hosts: Annotated[
        str | None, typer.Option("--apt-hosts", metavar="HOSTS", help=explanation("apt.hosts"))
    ] = None,
    apt_paths: Annotated[
        str | None, typer.Option("--apt-paths", metavar="PATTERNS", help=explanation("apt.paths"))
    ] = None,
    apt_window: Annotated[
        str | None, typer.Option("--apt-window", metavar="TIME", help=explanation("apt.window"))
    ] = None,
    apt_serve_expired: Annotated[
        str | None, typer.Option("--apt-serve-expired", metavar="true|false", help=explanation("apt.serve_expired"))
    ] = None,
    tunnels: Annotated[
        str | None, typer.Option("--apt-tunnels", metavar="HOSTS", help=explanation("apt.tunnels"))
    ] = None,
    user_agent: Annotated[
        str | None, typer.Option("--apt-user-agent", metavar="TEXT", help=explanation("apt.user_agent"))
    ] = None,
    announce: Annotated[
        str | None, typer.Option("--apt-announce", metavar="true|false", help=explanation("apt.announce"))
    ] = None,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Show every setting and where its value came from, and exit.")
    ] = False,
) -> None:
    """Run the proxy until it is interrupted."""
    flags = {
        "config": config,
        "host": host,
        "port": port,
        "names": names,
        "data": data,
        "disk": disk,
        "page_limit": page_limit,
        "proxy": proxy,
        "fetch.connections": connections,
        "fetch.segment": segment,
        "fetch.connect_timeout": connect_timeout,
        "fetch.read_timeout": read_timeout,
        "fetch.retries": retries,
        "fetch.downloads": downloads,
        "fetch.least_rate": least_rate,
        "serve.threads": threads,
        "serve.idle_timeout": idle_timeout,
        "serve.connections": client_connections,
        "serve.log_format": log_format,
        "apt.hosts": apt_hosts,
        "apt.paths": apt_paths,
        "apt.window": apt_window,
        "apt.serve_expired": apt_serve_expired,
        "apt.tunnels": tunnels,
        "apt.user_agent": user_agent,
        "apt.announce": announce,
    }
    try:
        resolved = resolve(flags, os.environ, _working_folder())
        proxies = KnownProxies.find(resolved.settings, os.environ)
        known = None if print_config else KnownCredentials.find(resolved.settings, os.environ)
    except ConfigError as error:
        for line in error.errors:
            typer.echo(f"pullthrough: {line}", err=True)
        raise typer.Exit(2) from None
    if known is None:
        from proxy.config.listing import listing  # noqa: PLC0415 - late, as the server is

        typer.echo(listing(resolved, proxies), nl=False)
        return
    from proxy.commands import serve as command  # noqa: PLC0415 - the server's libraries take a second to load

    raise typer.Exit(command.serve(resolved.settings, known, proxies))
