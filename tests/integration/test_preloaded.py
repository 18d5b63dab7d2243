"""A process of ``tests.preloaded`` is what an interpreter of its own would be to a test."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests import preloaded

SHOWS = """
import json, os, sys
print(json.dumps([__name__, sys.argv[1:], os.getcwd(), dict(os.environ), sys.stdin.read()]))
print("to standard error", file=sys.stderr)
"""


def test_it_has_the_arguments_folder_environment_and_streams_that_it_is_given(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SHOWS)
    for words in (["-c", SHOWS, "a b"], ["script.py", "a b"], ["-m", "script", "a b"]):
        done = preloaded.ran(words, cwd=tmp_path, env={"ONLY": "this"})

        assert done.stdout == f'["__main__", ["a b"], "{tmp_path}", {{"ONLY": "this"}}, ""]\n'
        assert (done.stderr, done.returncode) == ("to standard error\n", 0)


@pytest.mark.parametrize(
    ("code", "status", "last"),
    [
        ("raise SystemExit(3)", 3, ""),
        ("raise SystemExit('no')", 1, "no"),
        ("1 / 0", 1, "ZeroDivisionError: division by zero"),
        (f"import os; os.kill(os.getpid(), {signal.SIGKILL:d})", -signal.SIGKILL, ""),
        ("import atexit, sys; atexit.register(print, 'at exit', file=sys.stderr)", 0, "at exit"),
    ],
)
def test_it_ends_as_an_interpreter_does(code: str, status: int, last: str, tmp_path: Path) -> None:
    done = preloaded.ran(["-c", code], cwd=tmp_path, env=os.environ)

    assert (done.returncode, done.stderr.strip().split("\n")[-1]) == (status, last)


def test_it_is_ended_by_a_signal_and_answers_over_pipes(tmp_path: Path) -> None:
    echo = "import sys\nfor line in sys.stdin: print(line.upper(), end='', flush=True)"
    process = preloaded.started(["-c", echo], cwd=tmp_path, env={}, stdin=preloaded.PIPE, stdout=preloaded.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None

    process.stdin.write("hello\n")
    process.stdin.flush()
    said, before = process.stdout.readline(), process.poll()
    process.terminate()

    assert (said, before) == ("HELLO\n", None)
    assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == -signal.SIGTERM


def test_a_command_of_a_script_passes_on_its_exit_status(tmp_path: Path) -> None:
    preloaded.install(tmp_path / "command", ["-c", "import sys; sys.exit(int(sys.argv[1]))"])

    assert subprocess.run([tmp_path / "command", "7"]).returncode == 7


def test_a_command_of_a_script_passes_on_the_signal_that_ends_it(tmp_path: Path) -> None:
    waits = "import os, signal; print(os.getpid(), flush=True); signal.pause()"
    preloaded.install(tmp_path / "command", ["-c", waits])
    with subprocess.Popen([tmp_path / "command"], stdout=subprocess.PIPE, text=True) as command:
        assert command.stdout is not None
        command.stdout.readline()
        command.terminate()

        assert command.wait(60) == 128 + signal.SIGTERM
