"""The command line: the same verbs as in Python.

Exit codes: 0 the run ended (also with failed replicates), 1 a band or guard was missed, 2 the user's mistake,
130 interrupted. Every verb takes `--json`.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="A laboratory for self-consuming generative loops: run them, measure them, predict them.",
)

AsJson = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a key of the spec, for example workflow.synthetic_ratio=0.5. Repeatable.",
    ),
]
SpecArgument = Annotated[
    str,
    typer.Argument(
        metavar="SPEC|DATA", help="A spec (.yaml, .json), a data file, or a kind of data such as digits."
    ),
]


def _joined() -> AbstractContextManager[bool]:
    """The processes of a launcher (`accelerate launch`): the first one runs the command, the others train with it."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return nullcontext(True)
    from autophage.training.devices import joined

    return joined()


def main() -> None:
    """Entry point: user errors as one sentence, no traceback."""
    from autophage.errors import UserError

    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # `module:Class` in a spec names the user's own files too
    try:
        with _joined() as first:
            code = app(standalone_mode=False) if first else 0
    except UserError as error:
        print(f"autophage: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except MemoryError as error:
        print(f"autophage: not enough memory: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        # Whoever read the answer has left; python would complain once more when it flushes at the end.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        sys.exit(0)
    except Exception as error:
        # The parser of the command line raises its own errors; they carry their exit code and wording.
        if type(error).__name__ == "Abort":
            sys.exit(130)
        if not hasattr(error, "exit_code"):
            raise
        if hasattr(error, "show"):
            error.show()
        sys.exit(error.exit_code)
    sys.exit(code if isinstance(code, int) else 0)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        from autophage import __version__

        print(__version__)
        raise typer.Exit()


@app.command("run")
def run_command(
    spec: SpecArgument,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run. Default: runs/<name>-<spec hash>.")
    ] = None,
    settings: Settings = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a run that is there; start it if it is not.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Print the resolved spec, what it would cost and what to cite; run nothing."
        ),
    ] = False,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes, one thread each.")] = 1,
    figures: Annotated[
        bool, typer.Option("--figures", help="Also write the figures as PNG, SVG and PDF.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run the loop with live progress; write the run, its figures and report.html; print the verdict and one
    next action."""
    from autophage.commands import running

    code = running.run(spec, out, settings or [], resume, dry_run, workers, figures, as_json)
    raise typer.Exit(code)


@app.command()
def reproduce(
    paper: Annotated[
        str, typer.Argument(help="A recipe, for example shumailov2024; `autophage ls recipes` lists them.")
    ],
    scale: Annotated[str, typer.Option(help="small (2 cores, minutes), medium, or paper.")] = "small",
    out: Annotated[Path | None, typer.Option(help="Keep the runs in this folder.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes, one thread each.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Run a paper's recipe and print expected against measured. Exit code 1 when a band is missed."""
    from autophage.commands import reproducing

    raise typer.Exit(reproducing.reproduce(paper, scale, out, workers, as_json))


@app.command()
def sweep(
    spec: SpecArgument,
    grid: Annotated[
        list[str],
        typer.Option(
            "--grid",
            metavar="KEY=VALUES",
            help="A key and its values: a,b,c, or start:stop:count, or start:stop:count:log. Repeatable.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the sweep; what is there already is not computed again. Default: sweeps/<name>-<hash>."
        ),
    ] = None,
    settings: Settings = None,
    on: Annotated[str, typer.Option(help="local, or ray for a cluster.")] = "local",
    workers: Annotated[int, typer.Option(min=1, help="Worker processes, one thread each.")] = 1,
    at: Annotated[
        str | None,
        typer.Option(metavar="T,T", help="Generations that are summed up. Default: the first and the last."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run a grid of specs, and draw the phase diagram with theory's boundary in it."""
    from autophage.commands import sweeping

    raise typer.Exit(sweeping.sweep(spec, grid, out, settings or [], on, workers, at, as_json))


@app.command()
def compare(
    spec: SpecArgument,
    safeguards: Annotated[
        str,
        typer.Option(
            help="Names with commas, such as sims,latent_filter,correction, or yaml files of your own; `autophage ls safeguards` "
            "lists them."
        ),
    ],
    budget: Annotated[
        str,
        typer.Option(
            help="What is made equal: records seen in training, steps (network evaluations), or seconds."
        ),
    ] = "records",
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the comparison; arms that ended there are not run again. Default: comparisons/<name>-<hash>."
        ),
    ] = None,
    settings: Settings = None,
    workers: Annotated[int, typer.Option(min=1, help="Arms side by side, one thread each.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Run the loop plainly and with each safeguard at equal cost, from the same generation 0; gain against cost."""
    from autophage.commands import comparing

    raise typer.Exit(comparing.compare(spec, safeguards, budget, out, settings or [], workers, as_json))


@app.command()
def predict(spec: SpecArgument, settings: Settings = None, as_json: AsJson = False) -> None:
    """Theory only: the predicted course of every metric, thresholds, and which theorem says so."""
    from autophage.commands import reading

    reading.predict(spec, settings or [], as_json)


@app.command()
def plan(
    question: Annotated[
        str, typer.Argument(help="share, size, ratio, schedule, weight, detector, verifier or ridge.")
    ],
    target: Annotated[
        str | None, typer.Option(help="What the risk must stay under: a value, or 2x (twice generation 0's).")
    ] = None,
    horizon: Annotated[int, typer.Option(min=1, help="Over how many retrainings.")] = 20,
    spec: Annotated[
        str | None, typer.Option(metavar="SPEC|DATA", help="The loop: a spec, or a kind of data.")
    ] = None,
    data: Annotated[
        str | None, typer.Option(metavar="TABLE", help="A table (csv, parquet) whose law is estimated.")
    ] = None,
    settings: Settings = None,
    given: Annotated[
        list[str] | None,
        typer.Option(
            "--given",
            metavar="NAME=VALUE",
            help="What else a question needs, for example real_share=0.2, size=500, error=0.05, real=100, "
            "label_error=0.3, column=NAME, label=NAME. Repeatable.",
        ),
    ] = None,
    confirm: Annotated[
        bool, typer.Option("--confirm", help="Simulate the answer without using the theorem.")
    ] = False,
    replicates: Annotated[int | None, typer.Option(min=20, help="Of that simulation.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the page. Default: runs/plan-...")] = None,
    as_json: AsJson = False,
) -> None:
    """Theory inverted: how much real data, which schedule, weight, detector, verifier or ridge, with the theorem
    it rests on. Exit code 1 when a simulation does not confirm the answer."""
    from autophage.commands import planning

    code = planning.plan(
        question, target, horizon, spec, data, settings or [], given or [], confirm, replicates, out, as_json
    )
    raise typer.Exit(code)


@app.command()
def watch(
    log: Annotated[
        list[Path],
        typer.Argument(
            metavar="LOG",
            help="A log, a folder of logs, or an autophage run; several are runs of the same training.",
        ),
    ],
    step: Annotated[str | None, typer.Option(help="The column that counts steps.")] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            help="The use: what the model is for. Default: a held-out loss, else a held-out metric."
        ),
    ] = None,
    better: Annotated[
        str | None, typer.Option(help="lower or higher, where the name of the use does not say it.")
    ] = None,
    objective: Annotated[
        str | None,
        typer.Option(help="What training improves; =-NAME where higher is better. Default: a training loss."),
    ] = None,
    diversity: Annotated[
        list[str] | None, typer.Option(help="A metric for the verdict on variance. Repeatable.")
    ] = None,
    ahead: Annotated[
        float | None, typer.Option(help="Steps the forecast reaches. Default: as long as the last regime.")
    ] = None,
    fail_below: Annotated[
        float | None, typer.Option(help="Exit with 1 where the last value of the use is below.")
    ] = None,
    fail_above: Annotated[
        float | None, typer.Option(help="Exit with 1 where the last value of the use is above.")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Read the log again whenever it changes, until interrupted.")
    ] = False,
    every: Annotated[float, typer.Option(min=0.05, help="Seconds between two looks.")] = 5.0,
    out: Annotated[Path | None, typer.Option(help="Write a page: a file .html, or a folder.")] = None,
    as_json: AsJson = False,
) -> None:
    """A training log of any tool as a course with verdict, change points and forecast. Exit code 1 when a guard is
    missed: the last value beyond --fail-below or --fail-above, or without them a use that has decayed."""
    from autophage.commands import watching

    options = {
        "step": step,
        "metric": metric,
        "better": better,
        "objective": objective,
        "diversity": diversity or [],
        "ahead": ahead,
    }
    raise typer.Exit(watching.watch(log, options, (fail_below, fail_above), follow, every, out, as_json))


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A run, or a sweep.")],
    out: Annotated[Path | None, typer.Option(help="Where the page goes. Default: DIR/report.html.")] = None,
    figures: Annotated[
        bool, typer.Option("--figures", help="Also write the figures as PNG, SVG and PDF.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write the page of a run or of a sweep."""
    from autophage.commands import reading

    reading.report(folder, out, figures, as_json)


@app.command()
def publish(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run of a deep learner.")],
    out: Annotated[Path, typer.Option(help="The checkpoint's folder, which must be new.")],
    generation: Annotated[int, typer.Option(help="Which generation; -1 is the last.")] = -1,
    replicate: Annotated[int, typer.Option(help="Which replicate.")] = 0,
    agent: Annotated[str, typer.Option(help="Which agent.")] = "main",
    as_json: AsJson = False,
) -> None:
    """Write a generation's model as a checkpoint: in the format of diffusers where it knows the network."""
    from autophage.commands import publishing

    raise typer.Exit(publishing.publish(folder, out, generation, replicate, agent, as_json))


@app.command("ls")
def list_parts(
    slot: Annotated[
        str | None,
        typer.Argument(
            help="data, learner, workflow, curation, treatment, metric, process, inpainter, multiview, views, recipes, safeguards."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the known parts and recipes."""
    from autophage.commands import reading

    reading.list_parts(slot, as_json)


@app.command()
def describe(
    kind: Annotated[
        str, typer.Argument(help="A kind, or slot.kind where two slots share a name (data.gaussian).")
    ],
    as_json: AsJson = False,
) -> None:
    """What a part does, its settings with their defaults, what it needs, and what to cite."""
    from autophage.commands import reading

    reading.describe(kind, as_json)


@app.command()
def validate(spec: SpecArgument, settings: Settings = None, as_json: AsJson = False) -> None:
    """Check a spec: parts that do not fit are refused in one sentence."""
    from autophage.commands import reading

    reading.validate(spec, settings or [], as_json)


@app.command()
def cite(
    what: Annotated[str, typer.Argument(metavar="SPEC|DIR|PAPER", help="A spec, a run, or a recipe.")],
    as_json: AsJson = False,
) -> None:
    """The papers a run rests on."""
    from autophage.commands import reading

    reading.cite(what, as_json)


@app.command()
def schema(
    out: Annotated[Path | None, typer.Option(help="Write it to a file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="It is JSON anyway.")] = False,
) -> None:
    """The JSON schema of a spec, for editors."""
    from autophage.schema import json_schema

    text = json.dumps(json_schema(), indent=2, default=_simple)
    if out is None:
        print(text)
        return
    from autophage.runs.folder import write

    write(out, text + "\n")
    print(json.dumps({"schema": str(out)}) if as_json else out)


def _simple(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)


if __name__ == "__main__":
    main()
