"""The ``vidcascade`` command: parses, calls the package, prints."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from vidcascade import __version__
from vidcascade.cli.assemble import assemble
from vidcascade.cli.distil import distil
from vidcascade.cli.finetune import finetune
from vidcascade.cli.flicker import flicker
from vidcascade.cli.generate import generate
from vidcascade.cli.interpolate import interpolate
from vidcascade.cli.train import train
from vidcascade.errors import VidCascadeError

app = typer.Typer(
    name="vidcascade",
    help="Cascaded video diffusion: prompts to clips, and the tools around it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"vidcascade {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
) -> None:
    """Options before the command; ``--debug`` works after it as well (see :func:`main`)."""


@app.command()
def spec(
    path: Annotated[str, typer.Argument(help="A spec file (YAML), or the name of a bundled one.")],
) -> None:
    """Check a cascade's spec and print it with every default filled in."""
    from vidcascade.cascade.spec import CascadeSpec

    typer.echo(CascadeSpec.load(path).to_yaml(), nl=False)


app.command()(generate)
app.command()(interpolate)
app.command()(flicker)
app.command()(train)
app.command()(finetune)
app.command()(distil)
app.command()(assemble)


def main() -> None:
    """Run the command line: one sentence and an exit code for what the user can act on."""
    argv = sys.argv[1:]
    debug = "--debug" in argv
    try:
        app(args=[a for a in argv if a != "--debug"], prog_name="vidcascade")
    except VidCascadeError as error:
        if debug:
            raise
        print(f"vidcascade: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except Exception as error:
        if debug:
            raise
        reason = (str(error).strip().splitlines() or [""])[0]
        print(
            f"vidcascade: something went wrong inside ({type(error).__name__}: {reason[:200]}); "
            "run it again with --debug for the traceback, which is what a bug report needs.",
            file=sys.stderr,
        )
        sys.exit(1)
    except KeyboardInterrupt:
        print("vidcascade: interrupted; nothing half-written was left.", file=sys.stderr)
        sys.exit(130)
