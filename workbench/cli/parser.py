"""The words of the command line; each command names its handler, which is imported only then."""

from __future__ import annotations

import argparse

from workbench import __version__
from workbench.cli.number_types import count, place
from workbench.cli.parser_base import RUN_HELP, Commands, command
from workbench.cli.parser_data import add_data
from workbench.cli.parser_history import add_history
from workbench.cli.parser_judging import add_judging
from workbench.cli.parser_machine import add_machine
from workbench.cli.parser_slurm import add_slurm
from workbench.cli.parser_watch import add_watching

# Also `workbench.recipe.schema.STAGES`; that room reads YAML and the whole schema.
STAGES = ("sft", "dpo")
# The keys of `workbench.recipe.exchange.importing.KINDS` and `exporting.WRITERS`; likewise.
CONFIG_KINDS = ("trl", "old-trl", "handbook", "axolotl", "llama-factory", "autotrain")
EXPORT_KINDS = ("trl", "axolotl", "llama-factory")
RECIPE_HELP = "name of a recipe (see 'recipes') or path of a YAML file"
EPILOG = """\
Without a command the terminal app opens. RUN is an id, the start of one, a name, or 'last'.
Exit codes: 0 done, 1 the run or the check failed, 2 bad usage, 130 interrupted.
"""


def build_parser() -> argparse.ArgumentParser:
    """The whole command line. Parsed arguments carry `handler`, a `module:function` of cli."""
    parser = argparse.ArgumentParser(
        prog="dpo-workbench",
        description="Direct Preference Optimization in the terminal: edit, launch, watch, compare.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.add_argument(
        "--ascii", action="store_true", help="draw the app with plain characters only"
    )
    parser.set_defaults(handler="app:open_app")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _add_training(commands)
    _add_recipes(commands)
    add_data(commands)
    _add_exchange(commands)
    add_history(commands)
    _add_runs(commands)
    add_watching(commands)
    _add_queue(commands)
    add_judging(commands)
    _add_models(commands)
    add_machine(commands)
    return parser


def _add_training(commands: Commands) -> None:
    quickstart = command(
        commands,
        "quickstart",
        "quickstart:quickstart",
        "train the shipped quickstart recipe and compare base and tuned answers",
    )
    quickstart.add_argument(
        "--headless", action="store_true", help="print progress and results, even in a terminal"
    )
    run = command(commands, "run", "train:run", "train a recipe and follow it", json=True)
    run.add_argument("recipe", metavar="RECIPE", help=RECIPE_HELP)
    _add_set(run)
    run.add_argument("--stage", choices=STAGES, help="train this stage alone")
    run.add_argument(
        "--from",
        dest="parent",
        metavar="RUN[@PLACE]",
        help="start from the final adapter of this run, or from RUN@8 (a step), RUN@sft, RUN@sft:8",
    )
    run.add_argument("--name", default="", help="a name for the run")
    run.add_argument("--detach", action="store_true", help="print the run's id and return at once")
    run.add_argument(
        "--on-end", metavar="COMMAND", default="", help="a shell command for when the run has ended"
    )
    resume = command(commands, "resume", "train:resume_run", "go on from the last checkpoint")
    resume.add_argument("run", metavar="RUN", help=RUN_HELP)
    resume.add_argument("--detach", action="store_true", help="return at once")
    resume.add_argument(
        "--accept-changes",
        action="store_true",
        help="go on although settings or data have changed since the checkpoint",
    )
    _add_fork(commands)
    for parser in (run, resume):
        parser.add_argument(
            "--hosts",
            metavar="A,B",
            default="",
            help="train on several hosts, over ssh; this one first",
        )
    _add_trust(run)
    _add_queueing(run, resume)
    add_slurm(run)


def _add_queueing(*parsers: argparse.ArgumentParser) -> None:
    for parser in parsers:
        parser.add_argument(
            "--queue", action="store_true", help="start it when its device is free; return at once"
        )
        parser.add_argument(
            "--device",
            metavar="NAME",
            help="cuda:0, cuda:1, several as cuda:0,cuda:1, or cpu (default: what is free)",
        )
        parser.add_argument(
            "--stop-on-failure", action="store_true", help="pause the queue if this run fails"
        )


def _add_set(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set",
        dest="settings",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="change a value: beta=0.2, or dpo.beta=0.2 for one stage; may be repeated",
    )


def _add_trust(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--trust-remote-code",
        dest="trusted_model",
        metavar="MODEL",
        default="",
        help="let this model's own Python code run, if the recipe asks for it",
    )


def _add_fork(commands: Commands) -> None:
    fork = command(
        commands,
        "fork",
        "train:fork",
        "train the weights of a run's checkpoint further in a new run",
        json=True,
    )
    fork.add_argument("run", metavar="RUN", help=RUN_HELP)
    fork.add_argument(
        "--at", metavar="PLACE", default="", help="a step (8), sft:8 or sft; default: the newest"
    )
    fork.add_argument(
        "--set",
        dest="settings",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="change a value of the run's recipe; may be repeated",
    )
    fork.add_argument("--name", default="", help="a name for the new run")
    _add_trust(fork)
    fork.add_argument("--detach", action="store_true", help="print the run's id and return at once")
    add_slurm(fork)


def _add_recipes(commands: Commands) -> None:
    command(commands, "recipes", "recipes:recipes", "list the recipes found", json=True)
    check = command(
        commands, "check", "recipes:check_recipes", "report every problem of recipes", json=True
    )
    check.add_argument("recipes", metavar="RECIPE", nargs="+", help=RECIPE_HELP)
    check.add_argument(
        "--deep",
        action="store_true",
        help="ask the libraries too: model, tokenizer, every setting, token lengths of the data",
    )
    _add_set(check)
    _add_trust(check)
    show = command(
        commands,
        "show",
        "recipes:show",
        "print the TRL config that each stage resolves to",
        json=True,
    )
    show.add_argument("recipe", metavar="RECIPE", nargs="?", help=RECIPE_HELP)
    show.add_argument("--stage", choices=STAGES, help="this stage alone")
    how = show.add_mutually_exclusive_group()
    how.add_argument(
        "--resolved",
        action="store_true",
        help="every setting as it will be on this machine, and where it comes from",
    )
    how.add_argument("--text", action="store_true", help="the recipe as it stands in its file")
    how.add_argument(
        "--diff", nargs=2, metavar=("A", "B"), help="what differs between two recipes or runs"
    )
    _add_set(show)
    copy = command(
        commands, "copy", "recipes:copy_recipe", "save a recipe under a new name, to change it"
    )
    copy.add_argument("recipe", metavar="RECIPE", help=RECIPE_HELP)
    copy.add_argument("name", metavar="NAME", help="name of the new recipe")
    _add_set(copy)
    schema = command(
        commands, "schema", "settings:print_settings", "explain the settings of a recipe"
    )
    schema.add_argument("words", metavar="WORD", nargs="*", help="what their name or help holds")
    schema.add_argument("--json", action="store_true", help="print a JSON Schema, for editors")


def _add_exchange(commands: Commands) -> None:
    bring = command(
        commands,
        "import",
        "exchange:import_config",
        "make a recipe of a TRL, alignment-handbook, Axolotl, LLaMA-Factory or AutoTrain config, "
        "or a run of a trainer_state.json",
        json=True,
    )
    bring.add_argument(
        "file",
        metavar="PATH",
        help="the configuration, YAML or JSON; or a trainer's output folder or checkpoint",
    )
    bring.add_argument(
        "--from", dest="kind", choices=CONFIG_KINDS, help="what it is (default: told by its keys)"
    )
    bring.add_argument("--stage", choices=STAGES, help="of a file that does not tell it")
    bring.add_argument("--name", default="", help="name of the recipe or run (default: the file's)")
    bring.add_argument(
        "--print",
        dest="print_only",
        action="store_true",
        help="print the recipe, and the report on stderr, instead of saving it",
    )
    send = command(
        commands, "export", "exchange:export_config", "write a recipe for TRL or another trainer"
    )
    send.add_argument("recipe", metavar="RECIPE", help=RECIPE_HELP)
    send.add_argument("--to", choices=EXPORT_KINDS, required=True)
    send.add_argument("--stage", choices=STAGES, help="this stage alone")
    send.add_argument(
        "--out", metavar="PATH", default="", help="a new file, or a folder for sft.yaml, dpo.yaml"
    )


def _add_runs(commands: Commands) -> None:
    status = command(commands, "status", "runs:status", "what a run does, and its results",
                      json=True)  # fmt: skip
    logs = command(commands, "logs", "runs:logs", "print a run's log")
    logs.add_argument(
        "-f", "--follow", action="store_true", help="go on printing until the run ends"
    )
    logs.add_argument(
        "-n", "--lines", type=count, default=50, metavar="N", help="last N lines (default 50)"
    )
    logs.add_argument(
        "--rank",
        type=place,
        default=0,
        metavar="N",
        help="of process N, where several train together (default: 0, which writes the run)",
    )
    stop = command(commands, "stop", "runs:stop_run", "end a run after its step, with a checkpoint")
    stop.add_argument("--kill", action="store_true", help="end it now, without a checkpoint")
    remove = command(commands, "rm", "runs:remove", "delete a run and everything it made")
    remove.add_argument("--yes", action="store_true", help="do not ask")
    for parser in (status, logs, stop, remove):
        parser.add_argument("run", metavar="RUN", help=RUN_HELP)


def _add_queue(commands: Commands) -> None:
    queue = command(
        commands, "queue", "queue:queue", "what waits to be trained, and its order", json=True
    )
    orders = queue.add_subparsers(title="orders", metavar="ORDER")
    for name, help_text in (
        ("up", "let a run start one place earlier"),
        ("down", "let a run start one place later"),
        ("top", "make a run the next one"),
    ):
        move = command(orders, name, "queue:move", help_text)
        move.set_defaults(move=name)
        move.add_argument("run", metavar="RUN", help=RUN_HELP)
    remove = command(orders, "remove", "queue:remove", "take a run out; the run itself stays")
    remove.add_argument("run", metavar="RUN", help=RUN_HELP)
    for name, paused, help_text in (
        ("pause", True, "start nothing more; runs at work go on"),
        ("resume", False, "go on starting runs"),
    ):
        command(orders, name, "queue:pause", help_text).set_defaults(paused=paused)


def _add_models(commands: Commands) -> None:
    merge = command(commands, "merge", "merge:merge", "write base and adapter as one full model")
    merge.add_argument("run", metavar="RUN", help=RUN_HELP)
    merge.add_argument("directory", metavar="DIR", help="a folder that is new or empty")
    command(
        commands, "doctor", "doctor:doctor", "what this machine has, lacks and needs", json=True
    )
