"""The code blocks of the documents, and a terminal that runs shell blocks.

A block that can't run offline has a comment with the reason above it: ``<!-- not run: needs nginx -->``.
"""

import json
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import click
from attrs import Factory, define, frozen

from booking_payments.entrypoints.cli import main
from tests import preloaded
from tests.e2e.serving import environment, invoked, serving

ROOT: Final = Path(__file__).resolve().parents[2]
PAGES: Final = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "ops/README.md")

_BLOCK: Final = re.compile(
    r"^(?P<indent> *)(?:<!-- not run: (?P<reason>[^\n]+) -->\n+ *)?```(?P<language>[^\s`]*)[^\n]*\n(?P<code>.*?)^ *```",
    re.DOTALL | re.MULTILINE,
)

WITHOUT_END: Final = ("serve", "worker", "sandbox")
"""Commands that run until a signal."""

MODULES: Final = {"python -m tests.simulation": ("-m", "tests.simulation")}
"""Programs of the repository, which run there."""

ALL: Final = {"PAYMENT_GATEWAYS": "fake,manual"}
"""What the service of the documents is set to."""

OF_ITS_OWN: Final = {
    "transfers": {
        "PAYMENT_GATEWAY": "bank_transfer",
        "BANK_TRANSFER_PAY_TO": "Example Cinemas",
        "JWT_SECRET": "a-secret-of-the-documents-of-32-bytes",
    }
}
"""What a command needs besides, since it has no use with the fake gateway."""

STAND_FOR: Final = (
    (re.compile(r"postgresql://\S+"), "sqlite:///booking-payments.db"),
    (re.compile(r"--seeds 0-999"), "--seeds 0-1"),
    (re.compile(r"\.\.\."), "0123456789abcdef0123456789abcdef"),
    (re.compile(r"(?<=HOST=)0\.0\.0\.0"), "127.0.0.1"),
)
"""What names that a reader fills in, and numbers that take long, stand for here."""

NOBODYS: Final = re.compile(r"\b(evt|msg|bt|btr|pi)_[0-9a-zA-Z]{4,}|\bevening-[0-9]|\bend (olga|[0-9]+)\b")
"""An id out of an example, or an operator who is not logged in. The command says so: exit status 1."""


@frozen
class Block:
    """A block of code; ``reason`` says why it is not run."""

    page: Path
    line: int
    language: str
    code: str
    reason: str | None

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks_of(page: Path) -> Iterator[Block]:
    """The blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        code = re.sub(rf"^{found['indent']}", "", found["code"], flags=re.MULTILINE)
        line = text[: found.start("code")].count("\n")
        yield Block(page=page, line=line, language=found["language"], code=code, reason=found["reason"])


def blocks() -> list[Block]:
    """All blocks of all pages."""
    return [block for page in PAGES for block in blocks_of(page)]


def json_of(page: str) -> list[dict[str, Any]]:
    """The JSON objects of a page: one a block, or in a block of log lines one a line."""
    decoder, found = json.JSONDecoder(), []
    for block in blocks_of(ROOT / page):
        text = block.code.strip() if block.language == "json" else ""
        while text:
            content, end = decoder.raw_decode(text)
            found.append(content)
            text = text[end:].strip()
    return found


@define
class Terminal:
    """Runs commands as a shell would. Commands of this package run in this process, which saves half a second each.

    ``ports``: replacements for the ports that the documents name.
    """

    folder: Path
    ports: Mapping[str, str]
    env: dict[str, str] = Factory(dict)

    def paste(self, code: str) -> None:
        """Run every command of a block; fail on the first that does not succeed."""
        for pattern, stand_in in STAND_FOR:
            code = pattern.sub(stand_in, code)
        for line in code.replace("\\\n", " ").splitlines():
            for part in line.split(" && "):
                self._run(shlex.split(part, comments=True))

    def _run(self, words: list[str]) -> None:
        for number, word in enumerate(words):
            if word != "export" and not re.match(r"[A-Z_]+=", word):
                self._call(words[number:], dict(each.split("=", 1) for each in words[:number] if each != "export"))
                return
        self.env |= dict(each.split("=", 1) for each in words if each != "export")

    def _call(self, words: list[str], given: Mapping[str, str]) -> None:
        program, line = words[0], " ".join(words)
        if program == "booking-payments":
            self._command(words[1:], {**self.env, **given})
        elif program == "curl":
            curl = ["curl", "-s", "--fail-with-body", *(self._here(word) for word in words[1:])]
            done = subprocess.run(curl, cwd=self.folder, capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, f"{curl}: {done.stdout}{done.stderr}"
        elif words[:2] == ["pip", "install"]:
            self._installable(words[2:])
        else:
            name = next((each for each in MODULES if line.startswith(each)), None)
            assert name, f"nobody runs {line!r}; run it here, or say above the block why not"
            finds = 1 if "--bug" in words else 0  # a planted bug is there to be found
            done = preloaded.ran([*MODULES[name], *words[len(name.split()) :]], cwd=ROOT, env=environment())
            assert done.returncode == finds, f"{words}: {done.stdout}{done.stderr}"

    def _installable(self, requirements: list[str]) -> None:
        """Pip needs an index, so only the names of the extras are checked here; test_install.py installs them."""
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        for each in requirements:
            name, _, extras = each.rstrip("]").partition("[")
            assert name == project["name"], f"{each} is not ours"
            assert set(extras.split(",")) - {""} <= project["optional-dependencies"].keys(), f"no such extra: {each}"

    def _here(self, word: str) -> str:
        for named, port in self.ports.items():
            word = word.replace(f":{named}", f":{port}")
        return word

    def _command(self, words: list[str], given: Mapping[str, str]) -> None:
        if words[0] in WITHOUT_END:
            self._begun(words, given)
            return
        result = invoked(
            self.folder,
            *words,
            settings={
                **(OF_ITS_OWN.get(words[0], {}) if words[0] in OF_ITS_OWN or "PAYMENT_GATEWAY" in given else ALL),
                **given,
            },
        )
        allowed = (0, 1) if NOBODYS.search(" ".join(words)) else (0,)
        assert result.exit_code in allowed, f"{words}: {result.output}"

    def _begun(self, words: list[str], given: Mapping[str, str]) -> None:
        """Check the options of a command that runs until a signal. Other tests start it, and ``serve`` is started with
        changed settings."""
        command = main.commands[words[0]]
        with command.make_context(words[0], words[1:], resilient_parsing=False) as context:
            assert isinstance(context, click.Context)
        if words[0] == "serve" and given.keys() - {"HOST", "JWT_SECRET"}:
            with serving(self.folder, given):
                pass
