"""Every command of `dped`: parse, call one library function, print. The only file that imports click.

Heavy imports (torch, OpenCV) stay inside the commands, so that `dped --help` answers at once.
"""

from __future__ import annotations

import sys

from dped_data.common.interruption import interruptible, say_what_then, take_over

if __name__ == "__main__" or sys.argv[0].endswith("dped"):  # as a program: imports included, from here on
    take_over()

import dataclasses
import json
import logging
import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from dped_data.common.hints import data_words, hint
from dped_data.common.malloc import refusals_told
from dped_data.common.parent import end_with_agent
from dped_data.common.progress import note, printable
from dped_data.common.remote_folder import check_local, remote_folder
from dped_data.common.typed_settings import SettingField, load_settings, setting_fields
from dped_data.errors import InputError, UsageError
from dped_data.inspection.settings import InspectSettings, load_inspect_settings
from dped_data.settings import BuildSettings
from dped_data.simulation.settings import SimulationSettings
from dped_train.enhancing.settings import EnhanceSettings
from dped_train.networks.hub import is_on_hub
from dped_train.reproduction.settings import QUICK, ReproduceSettings
from dped_train.settings import TrainSettings

if TYPE_CHECKING:
    from dped_data.build import BuildReport
    from dped_data.captures.folders import Captures
    from dped_data.inspection.report import InspectReport


class _Local(click.Path):
    """A place on this machine: an address would become a folder called `s3:`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Look at what was typed: a Path has lost the second slash."""
        check_local(value)
        return super().convert(value, param, ctx)


class _Model(_Local):
    """A model: a file, a run's folder, a name, or an address on the Hub."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Leave addresses as they are."""
        return value if is_on_hub(value) else super().convert(value, param, ctx)


FOLDER = _Local(path_type=Path, file_okay=False)
FILE = _Local(path_type=Path, dir_okay=False)
ANY_PATH = _Local(path_type=Path)


class _Place(click.ParamType):
    """A folder, or an address in a remote store such as s3://bucket/folder."""

    name = "folder or address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Leave addresses as they are: a Path would lose one of their slashes."""
        return value if remote_folder(value) else FOLDER.convert(value, param, ctx)


PLACE = _Place()


def main() -> None:
    """Run the command line: one line on stderr for an error; status 0, 1 bad input or verdict, 2 usage, 130 Ctrl-C."""
    # Threads of torch that wait shall sleep: by default they spin for milliseconds, on cores that others need.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # Without a home folder matplotlib makes a temporary one and says so at length.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    sys.exit(interruptible(_run))


def _run() -> int:
    """Run the command; return its exit status."""
    try:
        with refusals_told():
            return int(dped.main(prog_name="dped", standalone_mode=False) or 0)
    except MemoryError as error:
        _fail(str(error), 1)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "dped"
        _fail(f"{error.format_message()} Try '{command} --help'.", error.exit_code)
    except UsageError as error:
        _fail(str(error), 2)
    except InputError as error:
        _fail(str(error), 1)
    except click.exceptions.Abort:  # click's word for Ctrl-C
        raise KeyboardInterrupt from None
    except BrokenPipeError:  # the reader of a pipe has left
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:
        _fail(f"{error.filename or 'system'}: {error.strerror or error}", 1)
    except ImportError as error:
        _fail(_missing_library(error), 1)


def _fail(message: str, status: int) -> NoReturn:
    _echo(f"dped: {' '.join(message.split())}", err=True)
    sys.exit(status)


def _missing_library(error: ImportError) -> str:
    """Say what to install when a library cannot be loaded; raise the error again when it is none of those known."""
    text = str(error)
    if any(name in text for name in ("libGL", "libgthread", "libglib", "libxcb", "libSM", "libXext")):
        return (
            f"OpenCV cannot be loaded ({text.split(':')[0]} is missing); install it with 'apt-get install libgl1 "
            "libglib2.0-0' (Debian, Ubuntu) or 'dnf install mesa-libGL glib2' (Fedora)"
        )
    raise error


PARTS = {
    "Make a dataset": ("align", "demo", "build-dataset", "inspect-pairs", "simulate-rig"),
    "Train and enhance": ("train", "evaluate", "enhance", "models", "reproduce", "study"),
    "Exchange": ("import-dped", "export-dped", "import-checkpoint", "export-onnx"),
}
"""The commands in the order of the work; a test sees that none is missing."""

GO_ON = {"align", "build-dataset", "simulate-rig", "train", "enhance", "reproduce", "import-dped"}
"""Commands that go on where they were interrupted; the others begin anew."""

OUTPUT = {"out", "as_json", "csv_file", "picture", "layout", "image_format", "overwrite", "show"}
MACHINE = {"jobs", "backend", "scheduler", "capture_timeout", "host", "port", "device", "precision", "memory_mb"}
MACHINE |= {"at_once", "compile", "chunk", "feature_cache_mb"}
"""Names of options, of any command, by what they are about. What names a place to read from is input."""


class _Command(click.Command):
    """A command whose help has its options in groups: input, output, what to do, settings, machine."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run it; Ctrl-C tells what the same command does afterwards."""
        say_what_then(_then(ctx))
        return super().invoke(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the groups; within one the options stand as they were declared."""
        groups: dict[str, list[tuple[str, str]]] = {title: [] for title in ("Input", "Output", "What to do")}
        for option in self.get_params(ctx):
            if record := option.get_help_record(ctx):
                groups.setdefault(_group_of(option), []).append(record)
        groups["Machine"] = groups.pop("Machine", [])
        for title, records in groups.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


def _then(ctx: click.Context) -> str:
    if ctx.command.name not in GO_ON or ctx.params.get("score") or ctx.params.get("dry_run"):
        return "; it begins anew"
    # Replacing was what --overwrite is for, and was the first thing done; for photos it is each one's own.
    again = ctx.params.get("overwrite") and ctx.command.name != "enhance"
    return " without --overwrite to go on" if again else " to go on"


class _Setting(click.Option):
    """An option that is a field of a settings class; `group` is its title in the help."""

    def __init__(self, *args: Any, group: str, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.group = "RAW" if group == "raw" else group.capitalize()


def _group_of(option: click.Parameter) -> str:
    if option.name in MACHINE:
        return "Machine"
    if isinstance(option, _Setting):
        return option.group
    if option.name in OUTPUT:
        return "Output"
    is_input = isinstance(option.type, _Local | _Place) or option.name in {"phone", "dslr", "split"}
    return "Input" if is_input else "What to do"


class _Group(click.Group):
    """A group that prints its help when it is called alone, with its commands in parts and described in full."""

    command_class = _Command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take no arguments for a wish for help."""
        return super().parse_args(ctx, args or ["--help"])

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, those of `dped` in the parts of the work."""
        parts = PARTS if ctx.parent is None else {"Commands": tuple(self.commands)}
        for title, names in parts.items():
            with formatter.section(title):
                formatter.write_dl([(n, self.commands[n].get_short_help_str(200)) for n in names if n in self.commands])


def _click_type(field: SettingField) -> Any:
    if field.choices:
        return click.Choice(field.choices)
    return {int: int, float: float, str: str}[field.type]


def settings_options(cls: type, title: str = "Settings") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command one option per setting of `cls`; not given is None, so that a TOML file can speak."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for field in reversed(list(setting_fields(cls))):
            flag = f"--{field.name.replace('_', '-')}"
            text = f"{field.help} [default: {field.default}]"
            kind = None if field.type is bool else _click_type(field)
            declared = f"{flag}/--no-{flag[2:]}" if field.type is bool else flag
            group = field.section or title
            command = click.option(declared, cls=_Setting, group=group, type=kind, default=None, help=text)(command)
        return command

    return decorate


def _echo(text: str, err: bool = False) -> None:
    """Print; names in `text` cannot steer the terminal."""
    click.echo(printable(text, sys.stderr if err else sys.stdout), err=err)


def _print_json(value: Any) -> None:
    _echo(json.dumps(dataclasses.asdict(value), indent=1, default=str))


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="dped")
def dped() -> None:
    """Build aligned phone-DSLR patch datasets from rig photos, look at them, and train photo enhancers on them."""


@dped.command("align")
@click.argument("phone_dir", type=FOLDER)
@click.argument("dslr_dir", type=FOLDER)
@click.option("--out", type=FOLDER, default="aligned", show_default=True, help="Folder for dataset, report and rig.")
@click.option("--open", "show", is_flag=True, help="Show the report in the browser.")
@click.option(
    "--pairs", type=FILE, help="CSV file that lists the pairs: phone file, DSLR file; nothing else is paired."
)
@click.option("--jobs", default=-1, show_default=True, help="Worker processes; -1 is one per core.")
@click.option("--overwrite", is_flag=True, help="Replace a dataset that was built with other settings.")
@click.option("--retry-failed", is_flag=True, help="Try captures that failed again: broken photos, killed workers.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@settings_options(BuildSettings)
def align_command(
    phone_dir: Path,
    dslr_dir: Path,
    out: Path,
    show: bool,
    pairs: Path | None,
    jobs: int,
    overwrite: bool,
    retry_failed: bool,
    as_json: bool,
    **flags: Any,
) -> int:
    """Align two folders of photos: pair them, build the dataset, judge it; status 1 when the verdict is bad."""
    from dped_data.align_folders import align_folders
    from dped_data.captures.report import pairing_table
    from dped_data.dataset.summary import build_text
    from dped_data.inspection import as_json as report_as_json
    from dped_data.inspection import terminal_text

    def tell(text: str) -> None:
        if not as_json:
            _echo(f"{text}\n")

    report = align_folders(
        phone_dir,
        dslr_dir,
        out,
        flags,
        pairs=pairs,
        jobs=jobs,
        overwrite=overwrite,
        retry_failed=retry_failed,
        show_plan=lambda plan: tell(pairing_table(plan.pairing, plan.splits, photo_sizes=plan.photo_sizes)),
        show_build=lambda made: tell(build_text(str(made.folder), made.manifest, made.reused, made.seconds)),
    )
    found = report.inspection
    if as_json:
        inspected = report_as_json(found) if found else None
        document = {"rig_file": report.rig_file, "build": dataclasses.asdict(report.build), "inspection": inspected}
        _echo(json.dumps(document, indent=1, default=str))
    elif found:
        _echo(terminal_text(found))
        data, given = report.build.folder.parent, ["--pairs", str(pairs)] if pairs else []
        again = hint("build-dataset", "--rig", report.rig_file, "--out", data, *given)
        _echo(f"\n{report.rig_file}: rig and settings, for the long way: {again}")
        _echo(f"train on it with: {hint('train', '--data', data, '--out', out / 'runs')}")
    if found is None:
        raise _no_patch(report.build)
    if show:
        _open(Path(found.page).absolute().as_uri())
    return report.exit_status


def _no_patch(report: BuildReport) -> InputError:
    return InputError(
        f"{report.folder}: no patch was kept of {len(report.rows)} captures; captures.csv there has the reasons"
    )


@dped.command("build-dataset")
@click.option("--phone", help="Phone of the rig; may be left out when the captures folder holds one phone only.")
@click.option("--dslr", help="The DSLR; with --phone, no rig file is needed.  [default: the rig's]")
@click.option("--captures", type=PLACE, help="One folder of photos per camera, or s3://...  [default: captures]")
@click.option("--out", type=PLACE, default="dataset", show_default=True, help="Folder of datasets, or s3://...")
@click.option(
    "--rig", "rig_file", type=FILE, help="TOML file with rig and settings, or a dataset.json to build as it was."
)
@click.option("--jobs", default=-1, show_default=True, help="Worker processes; -1 is one per core.")
@click.option(
    "--backend", type=click.Choice(["loky", "dask"]), default="loky", show_default=True, help="Who runs them."
)
@click.option("--scheduler", help="With --backend dask: address of a cluster's scheduler, such as tcp://10.0.0.1:8786.")
@click.option(
    "--capture-timeout",
    type=click.FloatRange(min=0),
    default=600.0,
    show_default=True,
    help="A capture that takes longer twice fails, seconds; 0 is no limit.",
)
@click.option("--overwrite", is_flag=True, help="Replace a dataset that was built with other settings.")
@click.option("--retry-failed", is_flag=True, help="Try captures that failed again: broken photos, killed workers.")
@click.option(
    "--review",
    type=FILE,
    help="Decisions of inspect-pairs --review to add to the dataset's own: rejected captures are left out.",
)
@click.option(
    "--pairs", type=FILE, help="CSV file that lists the pairs: phone file, DSLR file; nothing else is paired."
)
@click.option("--dry-run", is_flag=True, help="Print pairing and split; touch no pixel, write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@settings_options(BuildSettings)
def build_dataset_command(
    phone: str | None,
    dslr: str | None,
    captures: Path | str | None,
    out: Path | str,
    rig_file: Path | None,
    jobs: int,
    backend: Any,
    scheduler: str | None,
    capture_timeout: float,
    overwrite: bool,
    retry_failed: bool,
    review: Path | None,
    pairs: Path | None,
    dry_run: bool,
    as_json: bool,
    **flags: Any,
) -> None:
    """Align the photos of a phone and a DSLR and cut matched patches into HDF5 shards."""
    from dped_data.plan import check_captures, choose_phone, plan_build, work_text
    from dped_data.settings import load_build_settings, with_cameras

    if scheduler is not None and (backend != "dask" or jobs != -1):
        raise UsageError(
            "--scheduler goes with --backend dask and without --jobs: its workers do the work, all of them"
        )
    settings = with_cameras(load_build_settings(rig_file, flags), phone, dslr)
    photos = _photos(captures, rig_file)
    phone = phone or choose_phone(photos, settings.rig)
    if dry_run:
        from dped_data.captures.report import pairing_table
        from dped_data.dataset.review_file import decisions_on

        plan = plan_build(photos, out, phone, settings, overwrite, pairs)
        if as_json:
            _print_json(plan)
        else:
            _echo(pairing_table(plan.pairing, plan.splits, photo_sizes=plan.photo_sizes))
            _echo(f"\n{work_text(plan.work)}" if plan.work else "")
        for warning in plan.warnings:
            note(warning)
        check_captures(plan, photos, phone, settings.rig.dslr)
        decisions_on(plan.pairing.captures, review)
        return
    from dped_data.build import build_dataset
    from dped_data.common.remote_folder import is_remote
    from dped_data.dataset.summary import build_text

    report = build_dataset(
        photos,
        out,
        phone,
        settings,
        jobs=jobs,
        backend=backend,
        scheduler=scheduler,
        overwrite=overwrite,
        retry_failed=retry_failed,
        review=review,
        pairs=pairs,
        capture_timeout_s=capture_timeout,
    )
    if as_json:
        _print_json(report)
    else:
        folder = f"{out}/{phone}" if is_remote(out) else str(report.folder)
        next_step = hint("inspect-pairs", *data_words(out))
        _echo(build_text(folder, report.manifest, report.reused, report.seconds, next_step))
    if not report.manifest.totals["patches"]:
        raise _no_patch(report)


def _photos(captures: Path | str | None, rig_file: Path | None) -> Captures:
    """Where the photos lie: the folder that was given, or those that the rig's file names."""
    from dped_data.settings import rig_folders

    folders = rig_folders(rig_file)
    if captures is not None and any(folder.is_absolute() for folder in folders.values()):
        raise UsageError(f"{rig_file}: names the folders of the photos ([rig.folders]); leave out --captures")
    place = Path("captures") if captures is None else captures
    if isinstance(place, str):
        return place
    return {camera: place / folder for camera, folder in folders.items()} or place


@dped.command("simulate-rig")
@click.option("--photos", type=FOLDER, help="Photos to render the scenes from.")
@click.option("--out", type=FOLDER, help="Folder for captures/ and truth/.")
@click.option("--score", type=FOLDER, help="Dataset to score against the truth, instead of rendering.")
@click.option("--rig", type=FOLDER, help="With --score: the rendered rig's folder (its --out).")
@click.option("--phone", help="Phone to simulate, or whose dataset to score.  [default: sony, or the only one]")
@click.option("--jobs", default=-1, show_default=True, help="Worker processes; -1 is one per core.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@settings_options(SimulationSettings)
def simulate_rig_command(
    photos: Path | None,
    out: Path | None,
    score: Path | None,
    rig: Path | None,
    phone: str | None,
    jobs: int,
    as_json: bool,
    **flags: Any,
) -> None:
    """Render rig captures with exactly known geometry, or score a dataset that was built from them."""
    from dped_data import simulation
    from dped_data.settings import PAPER_RIG

    if score is not None:
        if rig is None:
            raise UsageError("--score needs --rig: the folder that simulate-rig wrote")
        result = simulation.score_dataset(score, rig, phone, jobs=jobs)
        if as_json:
            _print_json(result)
        else:
            _echo(simulation.score_table(result))
        return
    if photos is None or out is None:
        raise UsageError("simulate-rig needs --photos and --out (or --score and --rig)")
    settings = load_settings(SimulationSettings(), {}, "settings", flags)
    report = simulation.simulate_rig(photos, out, PAPER_RIG, phone or "sony", settings, jobs=jobs)
    if as_json:
        _print_json(report)
        return
    sizes = [
        f"{name} {width}x{height}"
        for name, (width, height) in ((report.phone, report.phone_wh), (report.dslr, report.dslr_wh))
    ]
    _echo(f"{out}: {report.captures} captures of {report.photos} photos ({', '.join(sizes)})")
    median, largest = report.magnification
    _echo(f"  scene pixels cover {median:.1f} DSLR pixels, {largest:.1f} at most; {report.walls} scenes are walls")
    chosen = [] if phone is None else ["--phone", phone]
    _echo(f"  build it with: {hint('build-dataset', *chosen, '--captures', out / 'captures')}")
    _echo(f"  score it with: {hint('simulate-rig', *chosen, '--score', 'dataset', '--rig', out)}")


@dped.command("inspect-pairs")
@click.option("--phone", help="Phone whose dataset to judge; may be left out when there is one only.")
@click.option("--data", type=PLACE, default="dataset", show_default=True, help="Folder of datasets, or s3://...")
@click.option("--pairs", type=FOLDER, nargs=2, help="PHONE_DIR DSLR_DIR: judge any pairs, as they are, by equal names.")
@click.option(
    "--set", "paired_set", type=FOLDER, help="The same for one folder: lq/gt, _LR/_HR, DPED, ZRR, webdataset."
)
@click.option("--out", type=FOLDER, default="report", show_default=True, help="Folder for the report.")
@click.option("--captures", type=FOLDER, help="Folder of the photos.  [default: where the dataset was built from]")
@click.option("--rig", "rig_file", type=FILE, help="TOML file whose table [inspect] has limits (docs/settings.md).")
@click.option("--worst", default=10, show_default=True, help="Captures to show, worst first.")
@click.option("--jobs", default=-1, show_default=True, help="Worker processes; -1 is one per core.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option(
    "--review", is_flag=True, help="Serve the report on this machine and save accepts and rejects to OUT/review.csv."
)
@click.option("--open", "show", is_flag=True, help="Show the report in the browser.")
@click.option("--redraw", is_flag=True, help="Judge what OUT holds by other limits and draw it again; measure nothing.")
@click.option("--verify", is_flag=True, help="Check the files instead, and make the patches again from the photos.")
@settings_options(InspectSettings, "Limits")
def inspect_pairs_command(
    phone: str | None,
    data: Path | str,
    pairs: tuple[Path, Path] | None,
    paired_set: Path | None,
    out: Path,
    captures: Path | None,
    rig_file: Path | None,
    worst: int,
    jobs: int,
    as_json: bool,
    review: bool,
    show: bool,
    redraw: bool,
    verify: bool,
    **flags: Any,
) -> int:
    """Judge how well the pairs of a dataset match; status 1 when the verdict is bad."""
    from dped_data import inspection
    from dped_data.dataset.manifest import find_dataset
    from dped_data.work.remote_copy import local_dataset

    settings = load_inspect_settings(rig_file, flags)
    if pairs or paired_set:
        if verify or redraw or review or (pairs and paired_set):
            raise UsageError(
                "--pairs PHONE_DIR DSLR_DIR and --set FOLDER go alone: without --verify, --redraw, --review"
            )
        one, two = pairs or (paired_set, None)
        assert one is not None
        report = inspection.inspect_set(one, two, out, settings, jobs=jobs)
        return _tell(report, worst, as_json, show)
    folder = find_dataset(local_dataset(data, phone), phone)
    if verify:
        verified = inspection.verify_dataset(folder.parent, folder.name, captures=captures, jobs=jobs)
        text = json.dumps(dataclasses.asdict(verified), indent=1) if as_json else inspection.verify_text(verified)
        _echo(text)
        return verified.exit_status
    if redraw:
        report = inspection.redraw_report(folder.parent, folder.name, out, settings, captures=captures)
    else:
        report = inspection.inspect_pairs(folder.parent, folder.name, out, settings, captures=captures, jobs=jobs)
    _tell(report, worst, as_json, show and not review)
    if review:
        server = inspection.ReviewServer(report, out)
        _echo(f"review at {server.address}  (Ctrl-C ends)\ndecisions go to {server.review}", err=as_json)
        if show:
            _open(server.address)
        server.serve()
    return report.exit_status


def _tell(report: InspectReport, worst: int, as_json: bool, show: bool) -> int:
    """Print a report, and show its page in the browser; return the exit status."""
    from dped_data import inspection

    _echo(json.dumps(inspection.as_json(report), indent=1) if as_json else inspection.terminal_text(report, worst))
    if show:
        _open(Path(report.page).absolute().as_uri())
    return report.exit_status


def _open(address: str) -> None:
    import webbrowser

    if not webbrowser.open(address):
        _echo(f"no browser was found; open {address}", err=True)


@dped.command("train")
@click.option("--phone", help="Phone whose dataset to train on; may be left out when there is one only.")
@click.option("--data", type=PLACE, default="dataset", show_default=True, help="Folder of datasets, or s3://...")
@click.option("--out", type=FOLDER, default="runs", show_default=True, help="Folder of runs.")
@click.option("--config", type=FILE, help="TOML file of settings, such as the config.toml of a run; flags beat it.")
@click.option("--resume", is_flag=True, help="Go on with the settings of the run that is there; flags may change some.")
@click.option("--data-changed", is_flag=True, help="Go on with a run although its dataset has grown since.")
@settings_options(TrainSettings)
def train_command(
    phone: str | None,
    data: Path | str,
    out: Path,
    config: Path | None,
    resume: bool,
    data_changed: bool,
    **flags: Any,
) -> None:
    """Train the enhancer on a dataset; the same command again goes on where it stopped.

    Run it under torchrun for several GPUs or machines.
    """
    end_with_agent()  # before torch is there, which takes a while
    from dped_data.work.remote_copy import local_dataset
    from dped_train.run.asked import asked_settings
    from dped_train.train import train

    source = local_dataset(data, phone)
    settings = asked_settings(source, phone, out, config, flags, resume=resume)
    report = train(source, phone, out, settings, resume=resume, data_changed=data_changed)
    if os.environ.get("RANK", "0") != "0":  # one of several processes speaks
        return
    done = "finished before" if report.first_step == report.steps else f"{report.patches_per_s:.1f} patches/s"
    _echo(f"{report.model}: {report.steps} steps, {done}")
    if report.val_psnr is not None and report.phone_psnr is not None:
        _echo(f"  validation PSNR {report.val_psnr:.2f} dB (untouched phone patches: {report.phone_psnr:.2f} dB)")
    chosen = ["--phone", phone] if phone else []
    _echo(f"  test it with: {hint('evaluate', '--model', report.model, *data_words(data), *chosen)}")


@dped.command("models")
@click.option("--fetch", type=click.Choice(["vgg19", "lpips"]), help="Download weights of others into torch's cache.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def models_command(fetch: str | None, as_json: bool) -> None:
    """List the models that have a name here, and the weights of others; fetch these, their hash checked."""
    from dped_train.networks.catalogue import catalogue, catalogue_text
    from dped_train.networks.weights import LPIPS, VGG16, VGG19, fetched

    for weights in {"vgg19": (VGG19,), "lpips": (LPIPS, VGG16), None: ()}[fetch]:
        _echo(f"{fetched(weights)}: {weights.name}, {weights.use}", err=as_json)
    found = catalogue()
    if as_json:
        _print_json(found)
    elif fetch is None:
        _echo(catalogue_text(found))


@dped.command("evaluate")
@click.option("--model", type=_Model(), help="Enhancer to test: a file, a run's folder, a name, or hf://OWNER/NAME.")
@click.option("--external", type=FOLDER, help="Folder of photos that something else enhanced, named as the phone's.")
@click.option("--baseline", is_flag=True, help="Test an automatic adjustment: white balance, contrast, exposure.")
@click.option("--identity", is_flag=True, help="Test the untouched phone patches.")
@click.option("--phone", help="Phone whose dataset to test on; may be left out when there is one only.")
@click.option("--data", type=PLACE, default="dataset", show_default=True, help="Folder of datasets, or s3://...")
@click.option("--split", type=click.Choice(["train", "val", "test"]), default="test", show_default=True)
@click.option(
    "--csv", "csv_file", type=FILE, help="Write the figures of every patch here, and of every capture beside it."
)
@click.option("--most-patches", default=0, help="Measure only so many, spread evenly over the split.  [default: all]")
@click.option("--lpips", type=FILE, help="Measure LPIPS too: its linear weights, vgg.pth of the package lpips.")
@click.option("--vgg", type=FILE, help="VGG-16 weights for LPIPS (.pth, .mat or .npz).")
@click.option("--picture", type=FILE, help="Write a sheet of the worst patches here: phone | enhanced | DSLR.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, ...")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def evaluate_command(
    model: str | None,
    external: Path | None,
    baseline: bool,
    identity: bool,
    phone: str | None,
    data: Path | str,
    split: Any,
    csv_file: Path | None,
    most_patches: int,
    lpips: Path | None,
    vgg: Path | None,
    picture: Path | None,
    device: str,
    as_json: bool,
) -> None:
    """Hold a model, externally enhanced photos, or the untouched phone patches against the DSLR patches."""
    from dped_data.work.remote_copy import local_dataset
    from dped_train.evaluate.evaluate import evaluate, evaluation_text
    from dped_train.networks.file import find_model

    if (model is not None) + (external is not None) + baseline + identity != 1:
        raise UsageError("evaluate needs exactly one of --model FILE, --external DIR, --baseline and --identity")
    report = evaluate(
        local_dataset(data, phone),
        phone,
        model=find_model(model) if model is not None else None,
        external=external,
        baseline=baseline,
        split=split,
        most_patches=most_patches,
        lpips=lpips,
        vgg=vgg,
        csv_file=csv_file,
        picture=picture,
        device=device,
    )
    if as_json:
        _print_json(report)
    else:
        _echo(evaluation_text(report))


@dped.command("reproduce")
@click.argument("what", type=click.Choice(["methods", "ablation", "shift-loss", "figures", "all"]))
@click.option("--phone", help="Phone whose dataset to use; may be left out when there is one only.")
@click.option("--data", type=PLACE, default="dataset", show_default=True, help="Folder of datasets, or s3://...")
@click.option("--out", type=FOLDER, default="reproduction", show_default=True, help="Folder of reproductions.")
@click.option("--quick", is_flag=True, help="A budget for two cores and ten minutes; flags beat it.")
@click.option(
    "--row", "rows", multiple=True, metavar="NAME=PATH", help="Add a row to table 2: a model, or enhanced photos."
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@settings_options(ReproduceSettings)
def reproduce_command(
    what: Any,
    phone: str | None,
    data: Path | str,
    out: Path,
    quick: bool,
    rows: tuple[str, ...],
    as_json: bool,
    **flags: Any,
) -> None:
    """Repeat the paper's tables 2 and 3 and its figures on a dataset, and write one HTML report."""
    from dped_data.work.remote_copy import local_dataset
    from dped_train.reproduction import reproduce, reproduction_text

    settings = load_settings(QUICK if quick else ReproduceSettings(), {}, "settings", flags)
    report = reproduce(what, local_dataset(data, phone), phone, out, settings, rows)
    if as_json:
        _print_json(report)
    else:
        _echo(reproduction_text(report))


@dped.command("enhance")
@click.argument("model", type=_Model())
@click.argument("photos", nargs=-1, required=True, type=ANY_PATH)
@click.option("--out", type=FOLDER, required=True, help="Folder for the enhanced photos.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@settings_options(EnhanceSettings)
def enhance_command(model: str, photos: tuple[Path, ...], out: Path, as_json: bool, **flags: Any) -> int:
    """Enhance whole photos, or all photos in folders, with MODEL: a file, a run's folder, a name in models/, or hf://OWNER/NAME."""
    from dped_train.enhancing.photos import enhance

    report = enhance(model, photos, out, load_settings(EnhanceSettings(), {}, "settings", flags))
    if as_json:
        _print_json(report)
    else:
        done, kept = report.of("enhanced"), report.of("kept")
        _echo(f"{out}: {len(done)} enhanced, {len(kept)} there already, {len(report.of('failed'))} failed")
    for photo in report.photos:
        if said := photo.reason or photo.note:
            _echo(f"dped: {photo.source}: {said}", err=True)
    return report.exit_status


@dped.group("study", cls=_Group)
def study_group() -> None:
    """The paper's user study: which of two photos of a scene looks better? Create it, serve it, report it."""


@study_group.command("create")
@click.option("--photos", type=FOLDER, default="study-photos", show_default=True, help="Photos in folders GROUP/CLASS.")
@click.option("--set", "named", multiple=True, help="GROUP/CLASS=FOLDER, such as sony/enhanced=out; once per class.")
@click.option("--out", type=FOLDER, default="study", show_default=True, help="Folder for the study.")
@click.option("--title", default="", help="Shown to the subjects; let it tell nothing of the classes.")
@click.option("--scenes", type=int, help="Scenes per group, chosen at random; the paper has 9.  [default: all]")
@click.option("--seed", default=0, show_default=True, help="Of that choice and of every subject's order.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def study_create_command(
    photos: Path, named: tuple[str, ...], out: Path, title: str, scenes: int | None, seed: int, as_json: bool
) -> None:
    """Make a study from folders of photos: every pair of classes of a group is compared on every scene."""
    from dped_data import study

    sets = study.study_sets(photos, named)
    made = study.create_study(sets, out, title=title, scenes=scenes, seed=seed)
    if as_json:
        _print_json(made)
    else:
        _echo(study.creation_text(made))


@study_group.command("serve")
@click.argument("folder", type=FOLDER, default="study")
@click.option("--host", default="127.0.0.1", show_default=True, help="Interface to listen on; 0.0.0.0 is every one.")
@click.option("--port", type=click.IntRange(0, 65535), default=8710, show_default=True, help="0 is any free one.")
def study_serve_command(folder: Path, host: str, port: int) -> None:
    """Show the study in FOLDER to its subjects, on this machine only unless --host says otherwise."""
    from dped_data import study

    server = study.StudyServer(folder, host, port)
    if not server.is_local:
        _echo(study.open_host_warning(server.address), err=True)
    _echo(f"study at {server.address}  (Ctrl-C ends)\nanswers go to {server.store.path}")
    server.serve()


@study_group.command("report")
@click.argument("folder", type=FOLDER, default="study")
@click.option("--out", type=FOLDER, help="Folder for page, tables and bars.  [default: FOLDER/report]")
@click.option("--complete-only", is_flag=True, help="Count only subjects who answered every question.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def study_report_command(folder: Path, out: Path | None, complete_only: bool, as_json: bool) -> None:
    """Say which class is preferred to which, and how sure that is; draw the bars of the paper's Figure 10."""
    from dped_data import study

    report = study.report_study(folder, complete_only=complete_only)
    written = study.write_report(report, out or folder / "report", folder)
    if as_json:
        _print_json(report)
    else:
        _echo(study.report_text(report))
        _echo(f"{written}: index.html, tables (.csv, .tex), bars.png, bars.svg")


@dped.command("import-dped")
@click.argument("folder", type=FOLDER)
@click.option("--phone", required=True, help="Phone whose patches to import.")
@click.option("--out", type=FOLDER, default="dataset", show_default=True, help="Folder of datasets.")
@click.option("--jobs", default=-1, show_default=True, help="Worker processes; -1 is one per core.")
@click.option("--overwrite", is_flag=True, help="Replace a dataset of other settings or origin.")
@click.option("--retry-failed", is_flag=True, help="Try unreadable patches again.")
@click.option("--review", type=FILE, help="Decisions of inspect-pairs --review to add: rejected patches are left out.")
def import_dped_command(
    folder: Path, phone: str, out: Path, jobs: int, overwrite: bool, retry_failed: bool, review: Path | None
) -> None:
    """Turn the released DPED patch folders (PHONE/training_data, PHONE/test_data) into a dataset."""
    from dped_data.dataset.summary import build_text
    from dped_data.released import import_dped

    report = import_dped(folder, phone, out, jobs, overwrite=overwrite, retry_failed=retry_failed, review=review)
    _echo(build_text(str(report.folder), report.manifest, report.reused, report.seconds))


@dped.command("export-dped")
@click.option("--phone", help="Phone whose dataset to export; may be left out when there is one only.")
@click.option("--data", type=FOLDER, default="dataset", show_default=True, help="Folder of datasets.")
@click.option("--out", type=FOLDER, required=True, help="Folder to write OUT/PHONE into.")
@click.option(
    "--as",
    "layout",
    type=click.Choice(["dped", "folders", "webdataset", "parquet", "zrr"]),
    default="dped",
    show_default=True,
)
@click.option("--image-format", type=click.Choice(["jpg", "png"]), help="[default: jpg for dped and zrr, else png]")
@click.option("--jobs", default=-1, show_default=True, help="Worker processes; -1 is one per core.")
def export_dped_command(phone: str | None, data: Path, out: Path, layout: Any, image_format: Any, jobs: int) -> None:
    """Write a dataset's patches as the authors' folders, paired folders, tar shards, or Parquet."""
    from dped_data.released import export_dped

    report = export_dped(data, phone, out, layout, image_format=image_format, jobs=jobs)
    _echo(f"{report.folder}: {sum(report.pairs.values()):,} pairs of patches")


@dped.command("import-checkpoint")
@click.argument("prefix", type=ANY_PATH)
@click.option("--out", type=FILE, required=True, help="File to write, such as iphone.safetensors.")
def import_checkpoint_command(prefix: Path, out: Path) -> None:
    """Convert a TensorFlow checkpoint of the paper's authors (PREFIX.index, PREFIX.data-...) to safetensors."""
    from dped_train.networks.tensorflow_checkpoint import import_checkpoint

    import_checkpoint(prefix, out)
    _echo(f"{out}: written")


@dped.command("export-onnx")
@click.argument("model", type=_Model())
@click.option("--out", type=FILE, required=True, help="File to write: ONNX, or torch.export where it ends in .pt2.")
@click.option("--overwrite", is_flag=True, help="Replace the file of an earlier export.")
@click.option("--size", help="The only photo size to take, such as 2048x1536.  [default: any size, any number]")
def export_onnx_command(model: str, out: Path, overwrite: bool, size: str | None) -> None:
    """Write MODEL (a file, a run's folder, or a name) for other runtimes and for phones."""
    from dped_train.export import export_enhancer, parse_size
    from dped_train.networks.file import find_model

    model_file = find_model(model)
    report = export_enhancer(model_file, out, parse_size(size) if size else None, overwrite=overwrite)
    sizes = "any size" if report.size_wh is None else f"{report.size_wh[0]}x{report.size_wh[1]} only"
    checked = "too large to be compared" if report.difference is None else f"within {report.difference:.1g} of torch"
    _echo(f"{out}: {report.format}, {report.bytes / 1e6:.1f} MB, photos of {sizes}, {checked}")


@dped.command("demo")
@click.option("--out", type=FOLDER, default="demo", show_default=True, help="Folder for everything the demo makes.")
@click.option("--steps", default=40, show_default=True, help="Training steps.")
@click.option("--vgg", type=FILE, help="VGG weights for the content loss (.pth, .mat, .npz).  [default: torch's cache]")
def demo_command(out: Path, steps: int, vgg: Path | None) -> None:
    """Go the whole way on photos that ship with scikit-image: render a rig, build, score, inspect, train.

    It shows that every part works, not what a model can learn: forty steps are less than a warm-up. Without VGG's
    weights, which it never downloads, it trains for light and colour alone, and says so.
    """
    from dped_data.simulation.demo_photos import demo_folder
    from dped_train.networks.weights import VGG16, VGG19

    model = out / "runs/sony/enhancer.safetensors"
    # A third of the size: the photos are small. The test split is a session whose photos no other session shows.
    simulate = "--phone sony --scale 0.3 --exposure 0.55 --count 16 --sessions 4 --photos-apart"
    vgg = vgg or next((weights.path for weights in (VGG16, VGG19) if weights.path.is_file()), None)
    if vgg:  # gently: in so few steps the recipe's texture and smoothness would cost more than they could bring
        losses = f"--vgg {shlex.quote(str(vgg))} --texture-weight 0.05 --padding reflect --crop-px 40"
    else:  # colours only: without the content loss nothing holds against the texture loss in so few steps
        losses = "--content-weight 0 --texture-weight 0"
    train = f"{losses} --tv-weight 20 --learning-rate 1e-4 --batch-size 4 --steps {steps}"
    commands = [
        f"simulate-rig --photos {out}/photos --out {out}/rig {simulate}",
        f"build-dataset --captures {out}/rig/captures --out {out}/dataset --patch-size 64",
        f"simulate-rig --score {out}/dataset --rig {out}/rig",
        f"inspect-pairs --data {out}/dataset --out {out}/report",
        f"train --data {out}/dataset --out {out}/runs {train}",
        f"evaluate --model {model} --data {out}/dataset --picture {out}/phone_enhanced_dslr.png",
        f"enhance {model} {out}/rig/captures/sony/0001.jpg --out {out}/enhanced --side-by-side",
    ]
    with demo_folder(out):
        for command in commands:
            _echo(f"\n$ dped {command}")
            dped.main(shlex.split(command), standalone_mode=False)
    _echo(f"\nDone. Open {(out / 'report/index.html').resolve().as_uri()} to look at the pairs.")
    learnt = "all losses" if vgg else "light and colour alone: content and texture need VGG's weights (--vgg)"
    _echo(f"Its model was trained for {learnt}. {steps} steps change the light; texture takes thousands.")
    _echo(f"{out}/phone_enhanced_dslr.png shows test patches (phone | enhanced | DSLR), {out}/enhanced a whole photo.")
    _echo(f"The dataset is in {out}/dataset/sony, the model in {model}.")


if __name__ == "__main__":
    main()
