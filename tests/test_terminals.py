"""What is printed, on code pages that lack our signs and into pipes; Ctrl-C; the settings file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import processes
import pytest
from waiting import WAIT_S

from rtelasto.host.transliterate import ERRORS

ENCODINGS = ["cp1252", "cp437", "cp1251", "ascii"]
HELP = [
    (),
    ("run",),
    ("view",),
    ("record",),
    ("igtl",),
    ("replay",),
    ("keys",),
    ("process",),
    ("report",),
    ("simulate",),
    ("demo",),
    ("doctor",),
    ("settings",),
    ("engines",),
    ("engines", "build"),
    ("bench",),
    ("bench", "accuracy"),
    ("bench", "latency"),
    ("bench", "throughput"),
]


def printed(encoding: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != "COLUMNS"}
    environment["PYTHONIOENCODING"] = encoding
    return processes.finish(*arguments, encoding=encoding, env=environment)


EVERY_HELP = """
import sys
from rtelasto.cli import main
for command in sys.argv[1].split(","):
    main([*command.split(), "--help"])
"""


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_help_can_be_printed_in_a_code_page(encoding: str) -> None:
    """In one process, to be quick: each of them is the same as in its own."""
    done = processes.finish(
        ",".join(" ".join(command) for command in HELP),
        program=("-c", EVERY_HELP),
        encoding=encoding,
        env=os.environ | {"PYTHONIOENCODING": encoding},
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.count("Usage: ") == len(HELP)
    assert "2608 x 128" in done.stdout or "2608 × 128" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("command", [("engines",), ("run", "--help"), ("keys", "keys")])
def test_output_can_be_redirected_under_a_code_page(
    encoding: str, command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = printed(encoding, *command)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout


@pytest.mark.slow
def test_an_error_can_be_printed_under_ascii() -> None:
    done = printed("ascii", "simulate", "→.h5", "--strain", "3")
    assert done.returncode == 2
    assert done.stderr == "rtelasto: strain must lie in 0.0001...0.1, got 3\n"


def test_what_a_code_page_lacks_becomes_the_nearest_that_it_has() -> None:
    assert "2608 × 128 → σ … é €".encode("ascii", ERRORS) == b"2608 x 128 -> sigma ... e ?"
    assert "2608 × 128".encode("cp1252", ERRORS) == "2608 × 128".encode("cp1252")
    assert "\udcff, 中".encode("utf-8", ERRORS) == b"?, \xe4\xb8\xad"
    assert "ﬁ é".encode("cp437", ERRORS) == b"fi \x82"


@pytest.mark.slow
def test_piped_text_is_not_broken_in_mid_sentence() -> None:
    lines = printed("utf-8", "process", "--help").stdout.splitlines()
    (runtime,) = [line for line in lines if line.strip().startswith("--cpu-runtime")]
    assert "rtelasto doctor shows what" in runtime
    (example,) = [line for line in lines if "--png strain.png" in line]
    assert example.strip().startswith("rtelasto process forearm.mhd")
    assert not [line for line in lines if line != line.rstrip()]


@pytest.mark.slow
def test_doctor_can_be_redirected_and_its_rows_are_lines() -> None:
    done = printed("ascii", "doctor", "--pairs", "1")
    assert done.returncode == 0, done.stderr
    rows = processes.table(done.stdout)
    assert rows["compiled code"]
    assert rows["TensorRT"].endswith("'rtelasto[tensorrt]'") or rows["TensorRT"][0].isdigit()
    assert rows["ncc"].endswith("ms per pair of 2608 x 128")


needs_groups = pytest.mark.skipif(
    not hasattr(os, "killpg"), reason="needs process groups and signals (POSIX)"
)
MODULE = ("-m", "rtelasto")
SCRIPT = (str(Path(sys.executable).with_name("rtelasto")),)


def interrupted_while_loading(
    program: tuple[str, ...], arguments: tuple[str, ...], module: str, times: int = 1
) -> tuple[int, str, str]:
    """Ctrl-C to all processes of the terminal once ``module`` has been loaded ``times`` times."""
    environment = os.environ | {"PYTHONPROFILEIMPORTTIME": "1"}
    with processes.start(
        *arguments, program=program, env=environment, start_new_session=True
    ) as process:
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            if not line.startswith("import time:"):
                said.append(line)
            elif line.rpartition("|")[2].strip() == module:
                times -= 1
                if times == 0:
                    break
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=WAIT_S)
    said += [line for line in err.splitlines() if not line.startswith("import time:")]
    return process.returncode, out, "".join(said)


@pytest.mark.slow
@needs_groups
@pytest.mark.parametrize("program", [MODULE, SCRIPT], ids=["module", "script"])
@pytest.mark.parametrize(
    "module", ["logging", "numpy", "cyclopts", "rich.console", "numba", "rtelasto.offline.process"]
)
def test_ctrl_c_while_a_command_loads_ends_it_without_a_word(
    program: tuple[str, ...], module: str, tmp_path: Path
) -> None:
    if program is SCRIPT and not Path(SCRIPT[0]).is_file():
        pytest.skip("the console script is not installed beside this Python")
    arguments = ("process", str(tmp_path / "missing.h5"), "-o", str(tmp_path / "out.h5"))
    assert interrupted_while_loading(program, arguments, module) == (130, "", "")


@pytest.mark.slow
@needs_groups
@pytest.mark.parametrize("module", ["numpy", "rtelasto.live.child_process", "numba"])
def test_ctrl_c_while_the_pipelines_process_starts_prints_no_traceback(module: str) -> None:
    arguments = ("run", "--rf", "tcp://127.0.0.1:1", "--strain", "tcp://127.0.0.1:*")
    # Of these, run itself loads numpy and rtelasto.live.child_process; the second time it is its child.
    times = 1 if module == "numba" else 2
    code, _, said = interrupted_while_loading(MODULE, arguments, module, times)
    assert code in (0, 130)
    assert "Traceback" not in said
    assert "KeyboardInterrupt" not in said


@pytest.mark.slow
@needs_groups
def test_ctrl_c_while_something_is_computed_ends_it_with_130(tmp_path: Path) -> None:
    arguments = ("simulate", str(tmp_path / "press.h5"), "--frames", "2000")
    module = "rtelasto_engines.simulate.fem"
    assert interrupted_while_loading(MODULE, arguments, module) == (130, "", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "content",
    [
        "\ufeff[run]\nengine = 'from-the-file'\n".encode(),
        "[run]\r\nengine = 'from-the-file'\r\n".encode("utf-16"),
    ],
    ids=["UTF-8", "UTF-16"],
)
def test_a_byte_order_mark_in_the_settings_file_is_no_fault(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "scanner.toml"
    path.write_bytes(content)
    done = processes.finish("--config", str(path), "run")
    assert done.returncode == 2
    assert "from-the-file" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"[run]\nengine = 'M\xfcller'\n", "line 2 is not UTF-8 (byte 0xfc)"),
        (b"[run\n", "not TOML"),
        (b"[run]\nengine = cnn\n", "not TOML"),
        (b"\x89HDF\r\n\x1a\n\0\0", "not UTF-8"),
        (b"a = " + b"[" * 100_000, "not TOML"),
        (b"[rnu]\nengine = 'cnn'\n", "[rnu] is not the name of a command"),
        (b"engine = 'cnn'\n", "engine is outside a table"),
        (b"[run]\nengin = 'cnn'\n", "engin"),
        (b"[run]\nthreads = 'many'\n", "many"),
        (b"run = 3\n", "run"),
        (b" " * (2**20 + 1), "too large"),
    ],
)
def test_every_fault_of_the_settings_file_names_it(
    tmp_path: Path, content: bytes, named: str
) -> None:
    path = tmp_path / "scanner.toml"
    path.write_bytes(content)
    done = processes.finish("--config", str(path), "run", "--rf", "tcp://127.0.0.1:1")
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert named in done.stderr
    assert "scanner.toml" in done.stderr


def test_a_folder_or_nothing_as_settings_file_is_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.toml"):
        done = processes.finish("--config", str(path), "run")
        assert done.returncode == 2
        assert str(path) in done.stderr
