"""Fuzzing with coverage as the guide: ``python -m tests.fuzz [TARGET] [-runs=N]`` (``make nightly`` runs all).

Needs Atheris, which has wheels for CPython on Linux only, so it is no part of the locked environment; without it this
says so, and ends well.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

RUNS = {"signature": 10_000_000, "event": 300_000, "body": 300_000, "token": 300_000}
"""How often each target is run; the others a million times."""


def fuzz(name: str, arguments: list[str]) -> None:
    """Fuzz one target in this process, until it is through or something breaks. Never returns."""
    import atheris

    with atheris.instrument_imports(include=["booking_payments"]):
        from tests.fuzz.targets import SEEDS, TARGETS
    with tempfile.TemporaryDirectory() as corpus:
        (Path(corpus) / "seed").write_bytes(SEEDS[name])
        options = [corpus, "-max_len=2048", "-verbosity=0", f"-artifact_prefix={corpus}/"]
        atheris.Setup([name, *options, *arguments], TARGETS[name])
        atheris.Fuzz()


def main(arguments: list[str]) -> int:
    """Fuzz the named target, or each target in a separate process."""
    try:
        import atheris  # noqa: F401
    except ImportError:
        print("SKIPPED: fuzzing needs Atheris, which is not here: pip install -r requirements/fuzz.txt")
        return 0
    names = [each for each in arguments if not each.startswith("-")]
    options = [each for each in arguments if each.startswith("-")]
    if names:
        fuzz(names[0], options)
    from tests.fuzz.targets import TARGETS

    for name in TARGETS:
        runs = options or [f"-runs={RUNS.get(name, 1_000_000)}"]
        print(f"fuzzing {name} {' '.join(runs)}", flush=True)
        command = [sys.executable, "-m", "tests.fuzz", name, *runs]
        done = subprocess.run(command, check=False, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            print(f"{done.stderr[-4000:]}\n{name} broke on the input printed above", flush=True)
            return 1
    print("nothing broke")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
