"""`oryx eval claims`: what the paper claims of its design, at nano scale, arm by arm."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from oryx.cli.eval_subject import tell_written, telling_of_stops
from oryx.cli.noise import complain

if TYPE_CHECKING:
    from oryx.evaluation.claims.run import Progress

ROOMS = Path("runs/nano/rooms")
OUTPUT, QUICK_OUTPUT = Path("runs/claims"), Path("runs/claims-quick")


def eval_claims_command(
    claim: Annotated[
        list[str] | None, typer.Option(help="Measure this claim alone, a to g; may be repeated.")
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(min=1, max=100, help="Trainings of each arm, from seed 0.", show_default="3"),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="One seed, short: shows that it works, and gives no verdict.")
    ] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Arms side by side, with one thread each.")] = 2,
    rooms: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder with the rooms train and test (oryx data rooms).")
    ] = ROOMS,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder of results; runs/claims, or runs/claims-quick with --quick."
        ),
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Markdown page to put the results into, docs/claims.md."),
    ] = None,
    report: Annotated[
        bool, typer.Option("--report", help="Train nothing: report all that the folder holds by now.")
    ] = False,
) -> None:
    """Train small models for each claim of the paper, measure them, and say what holds.

    Goes on where it was cut: what an arm and a seed gave is kept, and all that the folder holds is reported.
    Stderr has a line at the start and after each arm.
    """
    from oryx.errors import ConfigError
    from oryx.evaluation.claims.outputs import check_report, check_results
    from oryx.evaluation.claims.page import read_page, write_page
    from oryx.evaluation.claims.report import RESULTS_JSON, ClaimsReport, save_report
    from oryx.evaluation.claims.run import pending, run_arms
    from oryx.evaluation.claims.statements import CLAIMS, arms_of, choose_claims
    from oryx.evaluation.claims.store import Store, planned
    from oryx.evaluation.output import command_line
    from oryx.files import make_folder

    claims = choose_claims(claim)
    if report and (claim or seeds):
        raise ConfigError("--report is of all that the folder holds; leave out --claim and --seeds.")
    if quick and seeds:
        raise ConfigError("--quick is of one seed; leave out --seeds.")
    folder = output or (QUICK_OUTPUT if quick else OUTPUT)
    numbers = range(1 if quick else seeds or 3)
    store = Store(folder, planned(quick))
    skipped = {}
    if not report and not all((rooms / part / "settings.json").is_file() for part in ("train", "test")):
        skipped = {
            one.letter: f"Skipped: {rooms} lacks the folders of rooms train and test; "
            "see recipes/nano/materials/README.md."
            for one in claims
            if one.needs_rooms and pending(store, arms_of([one]), numbers)
        }
        if claim and skipped:  # what was asked for by name is not left out
            raise ConfigError(
                f"claim {' and '.join(skipped)} needs the folders train and test of rooms (oryx data rooms), "
                f"and {rooms} lacks them; name theirs with --rooms, or see recipes/nano/materials/README.md."
            )
    names = arms_of([one for one in claims if one.letter not in skipped])

    # Everything that can be refused is refused before hours of work.
    held = {*store.read_all(list(store.arms), store.seeds)}
    if report and not held:
        raise ConfigError(
            f"{folder} holds no results of claims (arms/ARM-seedN.json), so there is nothing to report; "
            "name their folder with --output, or measure them without --report."
        )
    expected = held if report else held | {(name, seed) for name in names for seed in numbers}
    check_report(folder, expected, quick)
    if page is not None:
        read_page(page)
        check_results(page.parent / RESULTS_JSON, expected, quick)

    for sentence in skipped.values():
        typer.echo(sentence, err=True)

    def tell(progress: Progress) -> None:
        complain(progress_line(progress))

    if not report:
        make_folder(folder)
        with telling_of_stops(folder):
            run_arms(store, names, numbers, jobs, str(rooms), tell)
    results = store.read_all(list(store.arms), store.seeds)
    measured = {arm for arm, _ in results}
    told = [one for one in CLAIMS.values() if one in claims or measured & {arm for arm, _ in one.sides}]
    numbers = range(max([*([] if report else numbers), *store.seeds]) + 1)
    given = {
        "--claim": [] if len(told) == len(CLAIMS) else [one.letter for one in told],
        "--seeds": None if quick else len(numbers),
        "--quick": quick,
        "--rooms": None if rooms == ROOMS else rooms,
    }
    made = ClaimsReport.of(told, results, numbers, command_line("claims", given), skipped, quick)
    written = save_report(made, folder)
    if page is not None:
        written += write_page(made, page)
    for finding in made.findings:
        typer.echo(f"({finding.claim.letter}) {finding.claim.title}: {finding.skipped or finding.verdict}")
    tell_written(written)


def progress_line(progress: Progress) -> str:
    """`3 of 63 arms, native seed 0: letter 71.5%, color 100.0%, 4.1 min, 2:10:00 left`."""
    from oryx.log_lines import log_line

    result, parts = progress.result, []
    if result is not None:
        shown = list(result.measures.items())[:3]
        shares = ", ".join(f"{name} {measured.accuracy:.1%}" for name, measured in shown)
        parts = [f"{result.arm} seed {result.seed}: {shares}", f"{result.minutes:.1f} min"]
    return log_line(progress.num_done, progress.num_jobs, "arms", *parts, seconds_left=progress.seconds_left)
