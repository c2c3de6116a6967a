"""The words of the commands that find out which side is better."""

from __future__ import annotations

import argparse

from workbench.cli.number_types import (
    answers,
    count,
    not_negative,
    positive,
    seed,
    share,
    tokens,
    whole,
)
from workbench.cli.parser_base import RUN_HELP, Commands, command
from workbench.judge.limits import MAX_ANSWERS, MAX_NEW_TOKENS


def add_judging(commands: Commands) -> None:
    """compare, votes, score, timeline, report."""
    _add_compare(commands)
    _add_votes(commands)
    _add_score(commands)
    _add_findings(commands)


def _add_compare(commands: Commands) -> None:
    compare = command(
        commands, "compare", "compare:compare", "answers of base and tuned side by side", json=True
    )
    compare.add_argument("run", metavar="RUN", help=RUN_HELP)
    compare.add_argument(
        "--sides",
        metavar="SIDE,SIDE[,SIDE]",
        default="",
        help="base, tuned, sft, dpo, dpo:8 (a checkpoint), start, RUN@dpo (default base,tuned)",
    )
    source = compare.add_mutually_exclusive_group()
    source.add_argument(
        "--prompt", dest="prompts", metavar="TEXT", action="append", help="may be repeated"
    )
    source.add_argument(
        "--prompts",
        dest="prompts_file",
        metavar="FILE",
        help="a file of prompts or a set such as everyday; asked again it goes on where it stopped",
    )
    compare.add_argument("--again", action="store_true", help="ask a set's answered prompts anew")
    compare.add_argument("--system", metavar="TEXT", default="", help="a system prompt for all")
    compare.add_argument(
        "--shade", action="store_true", help="mark the tokens that tuning made likelier or less so"
    )
    _add_sampling(compare)
    _add_drawing(compare)


def _add_drawing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--answers",
        type=answers,
        default=1,
        metavar="N",
        help=f"of each side, 1 to {MAX_ANSWERS} (default 1); number k has seed + k",
    )
    parser.add_argument("--top-p", type=share, default=1.0, metavar="P", help="1 (default) is off")
    parser.add_argument("--top-k", type=whole, default=0, metavar="K", help="0 (default) is off")
    parser.add_argument(
        "--repetition-penalty", type=positive, default=1.0, metavar="R", help="1 (default) is off"
    )


def _add_sampling(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--max-new-tokens",
        type=tokens,
        default=160,
        metavar="N",
        help=f"1 to {MAX_NEW_TOKENS} (default 160)",
    )
    parser.add_argument(
        "--temperature", type=not_negative, default=0.0, help="0 (default) is greedy"
    )
    parser.add_argument("--seed", type=seed, default=42)


def _add_votes(commands: Commands) -> None:
    votes = commands.add_parser(
        "votes",
        help="blind votes: cast, show, export or train on them",
        description="Which side is better, by people who do not know which is which.",
    )
    orders = votes.add_subparsers(title="orders", metavar="ORDER", required=True)
    show = command(orders, "show", "votes:show", "win rates with intervals", json=True)
    show.add_argument("--by-voter", action="store_true", help="a line for each voter too")
    cast = command(
        orders, "cast", "votes:cast", "vote here by typed letters; the app has a screen for it"
    )
    source = cast.add_mutually_exclusive_group()
    source.add_argument(
        "--prompts", metavar="SET", default="everyday", help="a prompt set's name, or a file"
    )
    source.add_argument(
        "--kept", action="store_true", help="vote on the comparisons that the run has already"
    )
    cast.add_argument(
        "--sides", default="base,tuned", metavar="A,B", help="base, tuned, sft, dpo:8, RUN@dpo, ..."
    )
    cast.add_argument("--voter", default="", help="your name (default: the user's)")
    cast.add_argument("--new", action="store_true", help="begin anew instead of going on")
    cast.add_argument("--reveal", action="store_true", help="say after each vote whose it was")
    cast.add_argument(
        "-n", "--number", type=count, default=0, metavar="N", help="ask for N votes at most"
    )
    _add_sampling(cast)
    export = command(orders, "export", "votes:export", "write preference pairs as JSON lines")
    train = command(
        orders, "train", "votes:train", "make a recipe that trains the run further on its votes"
    )
    train.add_argument("--name", default="", help="name of the recipe (default: RUN-votes)")
    for parser in (show, cast, export, train):
        parser.add_argument("run", metavar="RUN", help=RUN_HELP)
    export.add_argument("file", metavar="FILE", help="a new .jsonl file")
    export.add_argument(
        "--format", choices=("trl",), default="trl", help="{prompt, chosen, rejected}"
    )
    for parser in (export, train):
        parser.add_argument("--voter", default="", help="this voter's votes alone")
        parser.add_argument("--force", action="store_true", help="replace what is there")


def _add_score(commands: Commands) -> None:
    score = command(
        commands,
        "score",
        "score:score",
        "whether the tuned side is better, at what, and what it lost",
        json=True,
    )
    score.add_argument("run", metavar="RUN", help=RUN_HELP)
    score.add_argument(
        "--sides",
        default="base,tuned",
        metavar="A,B",
        help="two of base, tuned, sft, dpo, dpo:8, start, RUN@dpo (default base,tuned)",
    )
    score.add_argument("--data", metavar="FILE", help="pairs instead of the run's held-out ones")
    score.add_argument("--rows", type=count, metavar="N", help="the first N pairs")
    prompts = score.add_argument_group("sampled answers")
    prompts.add_argument(
        "--prompts", metavar="SET", help="a prompt set or file (default: the held-out prompts)"
    )
    prompts.add_argument("--no-samples", action="store_true", help="draw no answers")
    prompts.add_argument(
        "--samples", type=count, metavar="N", help="prompts at most (default 24; all of a set)"
    )
    prompts.add_argument(
        "--max-new-tokens", type=tokens, default=128, metavar="N", help="default 128"
    )
    prompts.add_argument(
        "--temperature", type=not_negative, default=1.0, help="default 1, which the KL is about"
    )
    prompts.add_argument("--seed", type=seed, default=42)
    sft = score.add_argument_group("what was lost")
    sft.add_argument("--sft-data", metavar="FILE", help="SFT rows instead of the run's own")
    sft.add_argument("--sft-rows", type=count, default=64, metavar="N", help="default 64")
    sft.add_argument("--no-sft", action="store_true", help="no perplexity on SFT rows")
    _add_judgement(score)


def _add_judgement(score: argparse.ArgumentParser) -> None:
    judge = score.add_argument_group("others' judgement")
    judge.add_argument(
        "--judge", metavar="URL", help="an OpenAI-compatible endpoint, https://HOST/v1"
    )
    judge.add_argument("--judge-model", metavar="NAME", help="the model that judges there")
    judge.add_argument(
        "--judge-key-env", metavar="VARIABLE", help="the environment variable with the API key"
    )
    judge.add_argument(
        "--send-answers", action="store_true", help="allow that prompts and answers are sent there"
    )
    judge.add_argument("--judge-pause", type=not_negative, default=0.0, metavar="SECONDS",
                       help="between two requests, for a rate limit")  # fmt: skip
    judge.add_argument("--lm-eval", metavar="TASKS", help="run lm_eval, if it is installed")
    judge.add_argument("--lm-eval-limit", type=count, metavar="N", help="examples of each task")


def _add_findings(commands: Commands) -> None:
    timeline = command(
        commands,
        "timeline",
        "timeline:timeline",
        "what each checkpoint answered to the recipe's prompts",
        json=True,
    )
    report = command(
        commands, "report", "report:report", "write all that is known of a run into one HTML file"
    )
    report.add_argument(
        "--output", metavar="FILE", default="", help="default: report.html in the run directory"
    )
    report.add_argument("--markdown", action="store_true", help="Markdown instead of HTML")
    report.add_argument("--force", action="store_true", help="replace a file that is there")
    for parser in (timeline, report):
        parser.add_argument("run", metavar="RUN", help=RUN_HELP)
