"""Floor 5: the command `dpo-workbench`. Nothing heavy is imported before a command is known."""

from __future__ import annotations

from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code (see `workbench.cli.execute`)."""
    import sys

    try:
        from workbench.cli.parser import build_parser
        from workbench.cli.parser_history import free_minus

        words = free_minus(sys.argv[1:] if argv is None else argv)
        arguments = build_parser().parse_args(words)

        from workbench.cli.execute import execute

        return execute(arguments)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
