"""The container files name settings, commands and files that exist. No image is built here."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from booking_payments.entrypoints.cli import main
from booking_payments.runtime.settings import setting_names

ROOT = Path(__file__).resolve().parents[2]
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "booking-payments"}
CONTAINERFILE = (ROOT / "Containerfile").read_text()


@pytest.mark.parametrize("name", OURS)
def test_a_service_runs_a_command_with_settings_that_exist(name: str) -> None:
    assert OURS[name]["command"][0] in main.commands
    assert set(OURS[name]["environment"]) <= setting_names()


def test_serve_and_worker_wait_for_the_migration() -> None:
    waited = {name: set(service.get("depends_on", {})) for name, service in OURS.items()}

    assert waited == {"migrate": {"database"}, "serve": {"migrate"}, "worker": {"migrate"}}


def test_the_files_contain_no_secrets() -> None:
    secrets = [
        value
        for service in SERVICES.values()
        for name, value in service.get("environment", {}).items()
        if re.search("SECRET|PASSWORD|KEY|URL", name)
    ]

    assert secrets != []
    assert [value for value in secrets if not re.search(r"\$\{\w+:\?", value)] == []


def test_every_copied_file_exists_and_is_not_ignored() -> None:
    copied = [
        word for line in re.findall(r"^COPY (?!--from)(.+)$", CONTAINERFILE, re.MULTILINE) for word in line.split()[:-1]
    ]
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}

    assert [name for name in copied if not (ROOT / name).exists()] == []
    assert set(copied) == let_in


def test_the_image_does_not_run_as_root() -> None:
    assert re.findall(r"^USER (\d+)$", CONTAINERFILE, re.MULTILINE) == ["10001"]
