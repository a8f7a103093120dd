"""The `usct` command: its verbs, and how errors become one line and an exit code."""

import sys
import warnings
from typing import Annotated, cast

import typer

from usct import __version__
from usct.cli import (
    archiving,
    batching,
    calibrating,
    comparing,
    configuring,
    covering,
    demonstrating,
    diagnosing,
    exporting,
    files,
    inverting,
    judging,
    making,
    planning,
    reporting,
    resampling,
    scanning,
    starting,
    timing,
    viewing,
)
from usct.errors import InputError

EXIT_FAILED = 1
EXIT_INPUT = 2
EXIT_CANCELLED = 130

# typer carries its own copy of click in some versions and imports click in others; this is the base of the
# usage errors of either.
_CommandLineError = cast("type[typer.BadParameter]", typer.BadParameter.__mro__[2])

app = typer.Typer(
    name="usct",
    invoke_without_command=True,
    rich_markup_mode="rich",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"usct {__version__}")
        raise typer.Exit


@app.callback()
def usct(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001 - typer calls _print_version with it
        bool,
        typer.Option(
            "--version", help="Print the version and leave.", is_eager=True, callback=_print_version
        ),
    ] = False,
) -> None:
    """Sound-speed images from ring-array ultrasound, by full-waveform inversion.

    [bold]Try it:[/bold]

      usct demo

    [bold]Or step by step:[/bold]

      usct phantom breast --seed 3 -o phantom.h5
      usct simulate phantom.h5 -o scan.h5
      usct reconstruct scan.h5 -o result.h5
      usct report result.h5 --truth phantom.h5 -o report.html

    Exit codes: 0 done, 1 something failed, 2 wrong input or usage, 130 cancelled with a checkpoint.
    Research use only. Not a medical device. Not for diagnosis.
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(EXIT_INPUT)


_MAKE, _MEASURED = "Make data", "Measured scans"
_IMAGE, _FILES = "Make and judge images", "Files and machine"
app.command(rich_help_panel=_MAKE)(making.phantom)
app.command(rich_help_panel=_MAKE)(scanning.simulate)
app.command(rich_help_panel=_MEASURED)(calibrating.check)
app.command(rich_help_panel=_MEASURED)(calibrating.calibrate)
app.command(rich_help_panel=_MEASURED)(timing.pick)
app.add_typer(starting.app, name="start", rich_help_panel=_IMAGE)
app.command(rich_help_panel=_IMAGE)(inverting.reconstruct)
app.command(rich_help_panel=_IMAGE)(configuring.settings)
app.command(rich_help_panel=_IMAGE)(resampling.resample)
app.command(rich_help_panel=_IMAGE)(judging.evaluate)
app.command(rich_help_panel=_IMAGE)(reporting.report)
app.command(rich_help_panel=_IMAGE)(diagnosing.diagnose)
app.command(rich_help_panel=_IMAGE)(comparing.compare)
app.command(rich_help_panel=_IMAGE)(diagnosing.compare_kernels)
app.command(rich_help_panel=_IMAGE)(covering.coverage)
app.command(rich_help_panel=_IMAGE)(planning.plan)
app.command(rich_help_panel=_IMAGE)(demonstrating.demo)
app.command(rich_help_panel="Populations")(batching.batch)
app.command(rich_help_panel="Populations")(reporting.reader_study)
app.command(rich_help_panel="Populations")(reporting.score_readers)
app.command(rich_help_panel=_FILES)(viewing.view)
app.command(rich_help_panel=_FILES)(files.info)
app.command(rich_help_panel=_FILES)(files.validate)
app.command(rich_help_panel=_FILES)(files.convert)
app.command(rich_help_panel=_FILES)(exporting.export)
app.add_typer(archiving.pacs, rich_help_panel=_FILES)
app.command(rich_help_panel=_FILES)(files.sysinfo)


def main(arguments: list[str] | None = None) -> None:
    """Run one command and leave with its exit code.

    Args:
        arguments: Words of the command line; None takes those of the process.

    Raises:
        SystemExit: Always, with 0 done, 1 failed, 2 wrong input or usage, 130 cancelled.
    """
    sys.exit(_exit_code(arguments))


def _exit_code(arguments: list[str] | None) -> int:
    """Run one command; every error that a user can mend becomes one line on stderr, and every warning."""
    warnings.formatwarning = lambda message, *_, **__: f"usct: {message}\n"
    try:
        result = app(arguments, standalone_mode=False)
    except _CommandLineError as error:
        return _complain(f"{error.format_message().rstrip('.')}; see 'usct --help'.")
    except InputError as error:
        return _complain(str(error))
    except BrokenPipeError:
        # Whoever read the output has left, as in `usct info scan.h5 | head -1`; there is no one to tell.
        sys.stderr.close()
        return EXIT_FAILED
    except OSError as error:
        return _complain(
            f"{error.filename or 'a file'}: {error.strerror or error}; check the path and its permissions."
        )
    except (KeyboardInterrupt, typer.Abort):
        typer.echo("usct: cancelled", err=True)
        return EXIT_CANCELLED
    return result if isinstance(result, int) else 0


def _complain(sentence: str) -> int:
    typer.echo(f"usct: error: {' '.join(sentence.split())}", err=True)
    return EXIT_INPUT
