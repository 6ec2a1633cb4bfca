"""The command line: quick help, one line for an error, exit status 0, 1 or 2."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import click.testing
import pytest
from dped_command import dped
from hints import hints_in, parse
from small_rig import write_rig
from terminal import at_terminal, lines_at_terminal

from dped_data.errors import UsageError

ROOT = Path(__file__).parents[1]
COMMANDS = (
    "align",
    "build-dataset",
    "inspect-pairs",
    "simulate-rig",
    "train",
    "evaluate",
    "enhance",
    "import-dped",
    "export-dped",
    "import-checkpoint",
    "export-onnx",
    "reproduce",
    "study",
    "demo",
)


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command in this process; whatever it names as the next one would run."""
    return with_hints_that_run(dped(*arguments, cwd=cwd))


def run_process(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The same in a process of its own."""
    result = subprocess.run(
        [sys.executable, "-m", "cli", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return with_hints_that_run(result)


def with_hints_that_run(result: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    for named in hints_in(result.stdout + result.stderr):
        parse(named)
    return result


def one_line(result: subprocess.CompletedProcess[str]) -> str:
    """The error, which must be the only line on stderr."""
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("dped: ")
    return lines[0]


def test_help_loads_nothing_heavy() -> None:
    code = "import sys, cli; print(sorted({'torch', 'cv2', 'numpy', 'h5py', 'numba', 'scipy'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_command_has_help(tmp_path: Path, command: str) -> None:
    result = (run if command else run_process)(*filter(None, [command]), "--help", cwd=tmp_path)
    assert result.returncode == 0 and "Usage: " in result.stdout and not result.stderr


@pytest.mark.parametrize("columns", [80, 120])
def test_help_is_in_groups_and_nothing_is_cut_off(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    import cli

    monkeypatch.setenv("COLUMNS", str(columns))
    runner = click.testing.CliRunner()
    for path in ([], ["study"]):
        alone = runner.invoke(cli.dped, path, prog_name="dped")
        assert (alone.exit_code, alone.stderr) == (0, "")
        assert alone.output == runner.invoke(cli.dped, [*path, "--help"], prog_name="dped").output
        lines = alone.output.split("\n")
        assert max(map(len, lines)) <= columns and not any(line.endswith("...") for line in lines[1:])
    listed = re.findall(r"^  (\S+)  ", runner.invoke(cli.dped, []).output, re.MULTILINE)
    assert [name for name in listed if name in cli.dped.commands] == [n for part in cli.PARTS.values() for n in part]
    assert {*cli.dped.commands} == {n for part in cli.PARTS.values() for n in part}
    text = runner.invoke(cli.dped, ["build-dataset", "--help"], prog_name="dped").output
    titles = re.findall(r"^(\S.*):$", text, re.MULTILINE)
    assert titles[:4] == ["Input", "Output", "What to do", "Pairing"] and titles[-1] == "Machine"
    assert len(titles) == len({*titles}) and "RAW" in titles


def test_build_in_an_empty_folder_says_what_is_missing_and_what_to_do(tmp_path: Path) -> None:
    result = run_process("build-dataset", cwd=tmp_path)
    assert result.returncode == 1
    assert "captures: no such folder" in one_line(result) and "--captures" in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["build-dataset", "--patch-size", "3"], "below the least allowed 16"),
        (["build-dataset", "--patch-sise", "64"], "--patch-sise"),
        (["build-dataset", "--rig", "none.toml"], "none.toml: no such file"),
        (["build-dataset", "--phone", "nokia"], "'nokia' is not part of rig 'DPED'"),
        (["build-dataset", "--phone", "canon"], "is the DSLR"),
        (["nonsense"], "nonsense"),
        (["simulate-rig"], "needs --photos and --out"),
        (["simulate-rig", "--score", "dataset"], "--score needs --rig"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(tmp_path: Path, arguments: list[str], words: str) -> None:
    result = run(*arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert words in one_line(result)


def _commands(group: click.Group) -> Iterator[click.Command]:
    for command in group.commands.values():
        yield from _commands(command) if isinstance(command, click.Group) else [command]


def test_addresses_are_refused_where_only_a_local_place_will_do() -> None:
    """Every option and argument that is a place: none would make a folder called `s3:`."""
    import cli

    remote = {}
    for command in _commands(cli.dped):
        for option in command.params:
            if isinstance(option.type, click.Path):
                for address in ("s3://bkt/x", "gs://bkt", "file:///x", "memory://x", "s3:/bkt"):
                    with pytest.raises(UsageError, match="address") as told:
                        option.type.convert(address, option, None)
                    assert str(told.value).startswith(f"{address}: ") and "\n" not in str(told.value)
                assert str(option.type.convert("C:/photos", option, None)) == "C:/photos"
            elif isinstance(option.type, cli._Place):
                remote.setdefault(command.name, set()).add(option.name)
                assert option.type.convert("s3://bkt/x", option, None) == "s3://bkt/x"
                for address in ("s3:/bkt", "memory://x", "file:///x", "s3://", "http://host/x"):
                    with pytest.raises(UsageError, match=re.escape(f"{address}: ")):
                        option.type.convert(address, option, None)
            else:
                assert option.name not in ("out", "data", "captures", "folder", "photos")
    readers = {name: {"data"} for name in ("inspect-pairs", "train", "evaluate", "reproduce")}
    assert remote == {"build-dataset": {"captures", "out"}, **readers}, "as the message of check_local says"


@pytest.mark.parametrize(
    "arguments",
    [
        ["study", "create", "--out", "s3://bkt/study"],
        ["build-dataset", "--out", "s3:/bkt"],
        ["build-dataset", "--dry-run", "--out", "memory://x"],
        ["study", "create", "--set", "sony/dslr=s3://bkt/x"],
        ["export-onnx", "--out", "x.onnx", "s3://bkt/enhancer.safetensors"],
    ],
)
def test_an_address_in_the_wrong_place_is_one_line_and_nothing_is_written(tmp_path: Path, arguments: list[str]) -> None:
    result = run(*arguments, cwd=tmp_path)
    assert result.returncode in (1, 2) and arguments[-1].split("=")[-1].split("/")[0] in one_line(result)
    assert not list(tmp_path.iterdir())


def test_export_says_what_is_wrong_with_model_and_size(tmp_path: Path) -> None:
    result = run("export-onnx", "sony", "--out", "sony.onnx", cwd=tmp_path)
    assert result.returncode == 1 and "sony: neither a model file nor the name of one in models" in one_line(result)
    (tmp_path / "a.safetensors").touch()
    result = run("export-onnx", "a.safetensors", "--out", "a.onnx", "--size", "big", cwd=tmp_path)
    assert result.returncode == 2 and "--size big: not a size" in one_line(result)


@pytest.mark.parametrize("command", ["inspect-pairs", "train", "evaluate"])
def test_readers_without_a_dataset_say_how_to_get_one(tmp_path: Path, command: str) -> None:
    options = ["--identity"] if command == "evaluate" else []
    result = (run_process if command == "train" else run)(command, *options, cwd=tmp_path)
    assert result.returncode == 1
    assert "dped build-dataset" in one_line(result)


def test_a_dry_run_follows_a_list_and_looks_at_a_review(tmp_path: Path) -> None:
    captures, _ = write_rig(tmp_path, 3)
    (tmp_path / "pairs.csv").write_text("000.jpg,001.jpg\n001.jpg,000.jpg\n")
    options = ("build-dataset", "--rig", "rig.toml", "--captures", str(captures), "--dry-run", "--pairs", "pairs.csv")
    result = run(*options, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("2 captures paired by the list given, 2 photos without a partner")
    assert re.search(r"pocket/000.jpg +slr/001.jpg", result.stdout)
    (tmp_path / "review.csv").write_text("capture_id;verdict\n0;reject\n")
    result = run(*options, "--review", "review.csv", cwd=tmp_path)
    assert result.returncode == 1
    assert "rejected captures do not exist: '0'; is '000' meant" in one_line(result)
    (tmp_path / "pairs.csv").write_text("000.jpg,1.jpg\n")
    result = run(*options, cwd=tmp_path)
    assert result.returncode == 1
    assert "pairs.csv, line 1: slr has no photo '1.jpg'; it has 3 such as slr/000.jpg" in one_line(result)


def test_build_and_dry_run_in_a_folder_that_follows_the_defaults(tmp_path: Path) -> None:
    write_rig(tmp_path, 3)
    options = ["--rig", "rig.toml", "--patch-size", "64"]
    dry = run("build-dataset", *options, "--dry-run", cwd=tmp_path)
    assert dry.returncode == 0 and "3" in dry.stdout and not (tmp_path / "dataset").exists()
    built = run_process("build-dataset", *options, "--jobs", "1", "--json", cwd=tmp_path)
    assert built.returncode == 0, built.stderr
    assert json.loads(built.stdout)["manifest"]["totals"]["kept"] == 3
    assert (tmp_path / "dataset/pocket/dataset.json").exists()
    again = at_terminal(["build-dataset", *options, "--jobs", "1"], tmp_path, 120)
    assert "(3 from an earlier run)" in again and built.stderr == ""
    assert any(re.match(r"aligning +100% \|█{10}\| 3/3 captures \[", line) for line in lines_at_terminal(again)), again


def test_two_folders_are_aligned_and_the_commands_that_are_named_next_run(tmp_path: Path) -> None:
    captures, _ = write_rig(tmp_path, 2)
    (captures / "slr").rename(tmp_path / "my slr")
    words = ["align", "captures/pocket", "my slr", "--out", "the result", "--patch-size", "64", "--jobs", "1"]
    told = at_terminal([*words, "--overlays"], tmp_path, 80)
    assert (tmp_path / "the result/report/index.html").is_file()
    lines = lines_at_terminal(told)
    assert {"aligning", "inspecting"} <= {line.split()[0] for line in lines if "% |" in line}
    assert [line for line in lines if len(line) > 80 and "dped " not in line] == []
    assert "photos: pocket 320x240; my-slr 448x336" in told and "pictures of whole captures: overlays/" in told
    assert {path.name for path in (tmp_path / "the result/dataset/pocket/overlays").iterdir()} == {"000.jpg", "001.jpg"}
    again = lines_at_terminal(at_terminal([*words, "--overlays"], tmp_path, 120))
    assert any("(2 from an earlier run)" in line for line in again)
    assert [line for line in again if len(line) > 120 and "dped " not in line] == []
    named = re.findall(r": dped (build-dataset|train)(.*)", told.replace("\r", ""))
    assert [name for name, _ in named] == ["build-dataset", "train"]
    planned = run("build-dataset", *shlex.split(named[0][1]), "--dry-run", cwd=tmp_path)
    assert planned.returncode == 0 and "2 captures paired by name" in planned.stdout
    assert shlex.split(named[1][1])[:2] == ["--data", "the result/dataset"]


def test_two_names_do_without_a_rig_file(tmp_path: Path) -> None:
    write_rig(tmp_path, 2)
    planned = run("build-dataset", "--phone", "pocket", "--dslr", "slr", "--dry-run", cwd=tmp_path)
    assert planned.returncode == 0 and "2 captures paired by name" in planned.stdout
    wrong = (tmp_path / "rig.toml").read_text().replace("320x240", "4032x3024")
    (tmp_path / "rig.toml").write_text(wrong)
    told = run("build-dataset", "--rig", "rig.toml", "--dry-run", cwd=tmp_path)
    assert "pocket: 2 of 2 photos looked at are 320x240, the rig declares 4032x3024" in one_line(told)


def test_a_dataset_without_a_patch_is_a_bad_verdict(tmp_path: Path) -> None:
    captures, _ = write_rig(tmp_path, 2)
    (captures / "slr/000.jpg").rename(captures / "slr/swap.jpg")
    (captures / "slr/001.jpg").rename(captures / "slr/000.jpg")
    (captures / "slr/swap.jpg").rename(captures / "slr/001.jpg")
    result = run("build-dataset", "--rig", "rig.toml", "--jobs", "1", "--pairing", "name", cwd=tmp_path)
    assert result.returncode == 1
    assert "no patch was kept of 2 captures" in one_line(result)
    assert (tmp_path / "dataset/pocket/captures.csv").read_text().count("rejected") == 2


def test_missing_system_library_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import cli

    def broken(**_: object) -> None:
        raise ImportError("libGL.so.1: cannot open shared object file: No such file or directory")

    monkeypatch.setattr(cli.dped, "main", broken)
    with pytest.raises(SystemExit, match="1"):
        cli.main()
    line = capsys.readouterr().err
    assert "libGL.so.1 is missing" in line and "apt-get install libgl1" in line and line.count("\n") == 1


def test_names_do_not_steer_the_terminal_and_need_not_be_utf_8(tmp_path: Path) -> None:
    result = run_process("build-dataset", "--captures", os.fsdecode(b"caf\xe9\x1b[2J\r"), cwd=tmp_path)
    assert result.returncode == 1
    assert r"caf\udce9\x1b[2J" in one_line(result) and "\x1b" not in result.stderr
