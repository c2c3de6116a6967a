"""`votes`: what blind votes say, and what becomes of them; `votes cast` in a plain terminal."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from workbench.base.paths import Paths
from workbench.base.problems import Problem, ProblemError
from workbench.cli.execute import report
from workbench.cli.output import one_line, print_json, table
from workbench.judge.figures import percent
from workbench.judge.vote_export import preference_rows, write_rows
from workbench.judge.vote_recipe import make_vote_recipe
from workbench.judge.vote_results import (
    PairResult,
    Tally,
    VoteResults,
    headline,
    remarks,
    results,
    results_json,
    verdict,
)
from workbench.judge.votes import default_voter, load_votes, voter_name
from workbench.run.directory import RunDirectory, find_run

HEADER = ("", "won", "lost", "tie", "both bad", "skip", "win rate", "95 % interval")


def show(arguments: argparse.Namespace, paths: Paths) -> int:
    """Print the results of a run's votes."""
    run = find_run(paths, arguments.run)
    found = results(load_votes(run))
    if arguments.json:
        print_json({"run": run.id, **results_json(found)})
        return 0
    if not found.pairs:
        print("No votes yet.")
        print(f"Cast some: dpo-workbench votes cast {run.id}")
        return 0
    for number, pair in enumerate(found.pairs):
        print("\n" * bool(number) + one_line(headline(pair)))
        print_pair(pair, found, by_voter=arguments.by_voter)
    return 0


def print_pair(pair: PairResult, found: VoteResults, *, by_voter: bool) -> None:
    """A pair's verdict, its table, and what else one should know."""
    if said := verdict(pair):
        print(one_line(said))
    rows = [_row("all", pair.tally)]
    if by_voter:
        rows += [
            _row(f"by {one.voter}", one.tally)
            for one in found.by_voter
            if (one.first, one.second) == (pair.first, pair.second)
        ]
    rows += [_row(name, count) for name, count in pair.by_category.items()]
    print("\n".join(table(HEADER, rows)))
    for line in remarks(pair, found.agreement.get((pair.first, pair.second))):
        print(one_line(line))


def _row(name: str, count: Tally) -> list[str]:
    low, high = count.interval
    known = count.rate is not None
    return [
        name,
        *(str(n) for n in (count.wins, count.losses, count.ties, count.both_bad, count.skips)),
        percent(count.rate or 0) if known else "-",
        f"{percent(low)} to {percent(high)}" if known else "-",
    ]


def export(arguments: argparse.Namespace, paths: Paths) -> int:
    """Write the votes as preference pairs."""
    run = find_run(paths, arguments.run)
    _check_voter(run, arguments.voter)
    pairs, path = preference_rows(run, arguments.voter), Path(arguments.file).expanduser()
    write_rows(pairs, path, force=arguments.force)
    print(f"{one_line(path)}: {' '.join(pairs.sentences())}")
    return 0


def train(arguments: argparse.Namespace, paths: Paths) -> int:
    """Write a recipe that trains the run's adapter further on its votes."""
    run = find_run(paths, arguments.run)
    _check_voter(run, arguments.voter)
    made = make_vote_recipe(
        paths, run, arguments.name, voter=arguments.voter, force=arguments.force
    )
    print(f"Recipe {made.name} in {one_line(made.path)}")
    print(f"Data {one_line(made.data)}: {' '.join(made.export.sentences())}")
    if made.warning:
        report(ProblemError(Problem(made.warning, severity="warning")))
    print(f"Start it: dpo-workbench run {made.name} --from {run.id}")
    return 0


def _check_voter(run: RunDirectory, voter: str) -> None:
    known = {vote.voter: None for vote in load_votes(run)}
    if voter and voter not in known:
        names = ", ".join(map(one_line, known)) or "nobody"
        problem = Problem("has not voted on this run", voter, f"Voters: {names}.")
        raise ProblemError(problem, exit_code=2)


def cast(arguments: argparse.Namespace, paths: Paths) -> int:
    """Vote in a plain terminal."""
    from workbench.cli.vote_sitting import Desk, choose_sitting
    from workbench.judge.booth import Booth

    run = find_run(paths, arguments.run)
    sitting = choose_sitting(paths, run, arguments)
    voter = voter_name(arguments.voter) if arguments.voter else default_voter()
    desk = Desk(Booth(run, sitting, voter), reveal=arguments.reveal, limit=arguments.number)
    desk.open(sys.stdin)
    found = results(load_votes(run))
    pair = found.of(*sitting.sides)
    if pair is not None:
        print("\n" + one_line(headline(pair)))
        print_pair(pair, found, by_voter=False)
    return 0
