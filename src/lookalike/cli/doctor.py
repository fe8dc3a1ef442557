"""``lookalike doctor``."""

from __future__ import annotations

import dataclasses
import functools
import json

import typer

from lookalike.cli.options import (
    Collection,
    Database,
    Quiet,
    Report,
    ReportFormat,
    Token,
    Verbose,
    Version,
)
from lookalike.cli.terminal import FAILED, Terminal, visible

EXAMPLE = "lookalike doctor"


def doctor(
    context: typer.Context,
    report_format: ReportFormat = Report.text,
    db: Database = None,
    token: Token = None,
    collection: Collection = "images",
    verbose: Verbose = 0,
    quiet: Quiet = False,
    version: Version = False,
) -> None:
    """Look at the installation, the machine and the database, and say what to mend.

    Exits with 1 if something is broken. Nothing is changed, and nothing but the database is asked.
    """
    with Terminal(verbose, quiet=quiet) as terminal:
        # Imported here: only this needs it, and other commands wait for what this module imports.
        from lookalike.doctor import database, machine, packages  # noqa: PLC0415
        from lookalike.doctor.finding import tried  # noqa: PLC0415

        subject = database.Subject(database=db, collection=collection, token=token)
        findings = []
        for finding in tried(
            [
                ("packages", packages.requirements),
                ("extras", packages.extras),
                ("settings", functools.partial(machine.settings, _variables(context))),
                ("processor", machine.processor),
                ("decoders", machine.decoders),
                ("cache", machine.cache),
                ("database", functools.partial(database.database, subject)),
                ("model", functools.partial(database.model, subject)),
            ]
        ):
            findings.append(finding)
            if report_format is Report.text and not (quiet and finding.state == "ok"):
                words = " ".join(filter(None, [finding.message, finding.fix]))
                typer.echo(f"{finding.state:<8} {finding.name:<10} {visible(words)}")
        wrong = sum(finding.state == "broken" for finding in findings)
        if report_format is Report.json:
            found = [dataclasses.asdict(finding) for finding in findings]
            typer.echo(json.dumps({"broken": wrong, "checks": found}))
        terminal.note("looked", event="looked", broken=wrong)
        if wrong:
            raise typer.Exit(FAILED)


def _variables(context: typer.Context) -> frozenset[str]:
    """The environment variables that stand for options of any command."""
    top = context.find_root().command
    commands = getattr(top, "commands", {}).values()
    return frozenset(
        str(parameter.envvar)
        for command in commands
        for parameter in command.params
        if parameter.envvar
    )
