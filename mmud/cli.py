"""The command line: verbs, flags and exit codes. No logic, and nothing heavy is imported here."""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import sys
import traceback
from typing import Annotated

import typer

from mmud import __version__, codes, commands
from mmud.errors import ExitCode, MmudError

_ORDER = """
demo build annotate link filter review validate explain stats split leakage export card browse
evaluate metric compare submit leaderboard train predict pretrain plugins doctor
"""
ORDER = tuple(_ORDER.split())
"""The order in which --help lists the verbs; every module of `mmud.commands` with a function ``register`` is one."""

# Typer carries its own copy of click since 0.16; this finds the class that its usage errors share, whichever copy it is.
_ClickException: type[Exception] = next(
    kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException"
)

app = typer.Typer(
    name="mmud",
    help="Build, validate, export and score MMUD: one image, four tasks.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    # Every option can come from the environment: MMUD_BUILD_WORKERS=2 is --workers 2 of `mmud build`.
    context_settings={"auto_envvar_prefix": "MMUD", "help_option_names": ["--help", "-h"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"mmud {__version__}")
        raise typer.Exit()


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Build, validate, export and score MMUD: one image, four tasks."""


def _register_verbs() -> None:
    verbs = [module.name for module in pkgutil.iter_modules(commands.__path__) if module.name != "common"]
    for verb in sorted(verbs, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name)):
        importlib.import_module(f"mmud.commands.{verb}").register(app)


_register_verbs()


def _report(error: MmudError) -> None:
    """An error as the machine's result where --json was asked for, and for a person on stderr."""
    if "--json" in sys.argv[1:]:
        print(json.dumps({"error": error.to_dict()}, indent=2, ensure_ascii=False))
    print(f"error: {error}\n  {error.hint}\n  More: mmud explain {error.code.id}", file=sys.stderr)


def _interrupted() -> int:
    print("interrupted: what is done is kept; run the same command again to go on", file=sys.stderr)
    return int(ExitCode.INTERRUPTED)


def run(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code; nothing but this decides what a process ends with."""
    try:
        outcome = app(args=arguments, prog_name="mmud", standalone_mode=False)
        sys.stdout.flush()
    except _ClickException as error:
        message = getattr(error, "format_message", error.__str__)()
        print(f"error: {message}\n  `mmud COMMAND --help` lists what a command takes.", file=sys.stderr)
        return int(ExitCode.USAGE)
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted()
    except MmudError as error:
        _report(error)
        return int(error.exit_code)
    except BrokenPipeError:
        # Whoever read our output has had enough (mmud … | head); the interpreter must not complain while it closes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(ExitCode.DONE)
    except OSError as error:
        _report(MmudError(codes.NOT_WRITABLE, f"{type(error).__name__}: {error}"))
        return int(ExitCode.USAGE)
    except Exception as error:
        print(f"internal error: {type(error).__name__}: {error}", file=sys.stderr)
        if {"-v", "--verbose"} & set(sys.argv[1:]):
            traceback.print_exc()
        else:
            print("  This is a fault of mmud; run again with --verbose to see where it happened.", file=sys.stderr)
        return int(ExitCode.INTERNAL)
    # Typer turns Ctrl-C into this outcome without a word.
    if outcome == ExitCode.INTERRUPTED:
        return _interrupted()
    return outcome if isinstance(outcome, int) else int(ExitCode.DONE)


def main() -> None:
    """The entry point."""
    sys.exit(run())
