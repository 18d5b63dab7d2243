"""Print docs/reference/*.md from the code: the HTTP API, the settings, the command line, the metrics, the log
events. A missing description is missing in the code: in a description, a help text or a docstring.
"""

import asyncio
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from inspect import cleandoc
from pathlib import Path
from typing import Any, Final

import click
import msgspec
from prometheus_client import CollectorRegistry
from pydantic.fields import FieldInfo
from tools.http_examples import Example, examples

from booking_payments.application.message_schemas import MESSAGE_TYPES, message_schema
from booking_payments.domain.declines import GENERIC_CODE, Decline
from booking_payments.domain.refunds import QuoteReason
from booking_payments.entrypoints.cli.main import main as command_line
from booking_payments.entrypoints.http import gauges
from booking_payments.entrypoints.http.app import api_document
from booking_payments.entrypoints.http.metrics import Metrics
from booking_payments.entrypoints.http.problems import problem
from booking_payments.ports.gateway_settings import PluginSetting, declared
from booking_payments.presentation.decline_reasons import REASONS, reason_of
from booking_payments.presentation.error_codes import ERROR_CODES
from booking_payments.runtime.log_events import LOG_EVENTS
from booking_payments.runtime.plugins import installed_plugins
from booking_payments.runtime.settings import PREFIX, Settings
from booking_payments.testing.kit import PaymentsTestKit

ROOT: Final = Path(__file__).resolve().parent.parent
FOLDER: Final = ROOT / "docs" / "reference"
NOTE: Final = "Printed by `make docs` from the code; edit that instead."

Json = Mapping[str, Any]


NAMES: Final = ("http", "settings", "cli", "metrics", "messages", "log-events", "errors", "declines")
"""The pages, which are known without making them."""


@cache
def pages() -> Mapping[str, str]:
    """Return the text of each page, by its name in ``NAMES``."""
    makers: Mapping[str, Callable[[], Iterable[str]]] = {
        "http": _http,
        "settings": _settings,
        "cli": _cli,
        "metrics": _metrics,
        "messages": _messages,
        "log-events": _log_events,
        "errors": _errors,
        "declines": _declines,
    }
    return {name: "\n".join(make()).rstrip() + "\n" for name, make in makers.items()}


def _table(*head: str, rows: Iterable[Iterable[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"| {' | '.join('---' for _ in head)} |"
    for row in rows:
        yield f"| {' | '.join(_in_cell(cell) for cell in row)} |"
    yield ""


def _in_cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


# --- HTTP ------------------------------------------------------------------------------------------------------


def _http() -> Iterator[str]:
    document: Json = api_document(sandboxed=True)
    runs = examples()
    yield f"# HTTP\n\n{NOTE} The same as OpenAPI {document['openapi']} is at `/schema` of a running service.\n"
    yield from _problems_of_all(document)
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield from _operation(f"{method.upper()} {path}", operation)
            yield from _runs(runs.get((method.upper(), path), ()))
    yield "## Objects\n"
    for name, schema in sorted(document["components"]["schemas"].items()):
        yield from _object(name, schema)


def _problems_of_all(document: Json) -> Iterator[str]:
    yield "Paths of the API are taken with and without a slash at the end."
    yield "HEAD is answered wherever GET is, without a body.\n"
    yield "The examples are from one run in memory; of a journal they show the first three events.\n"
    yield "An error is returned as a [problem](#problemdetails) (RFC 9457):\n"
    told = {
        status: answer["description"]
        for methods in document["paths"].values()
        for operation in methods.values()
        for status, answer in operation["responses"].items()
        if int(status) >= 400
    }
    yield from _table("status", "meaning", rows=([f"`{status}`", told[status]] for status in sorted(told)))


def _operation(title: str, operation: Json) -> Iterator[str]:
    yield f"## {title}\n"
    yield f"{operation['summary']}. {operation.get('description', '')}".strip() + "\n"
    parameters = [each for each in operation.get("parameters", ()) if each["in"] != "path"]
    if parameters:
        yield from _table("parameter", "in", "type", "meaning", "example", rows=map(_parameter, parameters))
    body = operation.get("requestBody")
    if body:
        yield f"Body: {_content(body)}{'' if body.get('required') else ', may be left out'}.\n"
    answers = {status: answer for status, answer in operation["responses"].items() if int(status) < 400}
    rows = ([f"`{status}`", answer["description"], _content(answer)] for status, answer in answers.items())
    yield from _table("status", "when", "what", rows=rows)
    problems = sorted(operation["responses"].keys() - answers.keys())
    if problems:
        yield f"Problems: {', '.join(f'`{status}`' for status in problems)}.\n"


def _runs(found: Iterable[Example]) -> Iterator[str]:
    for each in found:
        yield f"<details><summary>Example: {each.status}</summary>\n"
        yield f"`{each.method} {each.path}`\n"
        if each.body is not None:
            yield f"```json\n{json.dumps(each.body, indent=2)}\n```\n"
        yield f"Response, {each.status}:\n"
        language = "json" if each.response.startswith(("{", "[")) else "text"
        yield f"```{language}\n{each.response}\n```\n\n</details>\n"


def _parameter(parameter: Json) -> list[str]:
    schema = parameter["schema"]
    return [
        f"`{parameter['name']}`",
        parameter["in"],
        _type(schema),
        parameter.get("description", ""),
        _example(schema),
    ]


def _content(holder: Json) -> str:
    kinds = [(media, each.get("schema", {})) for media, each in holder.get("content", {}).items()]
    return ", ".join(_type(schema) if schema.get("$ref") else f"`{media}`" for media, schema in kinds)


def _object(name: str, schema: Json) -> Iterator[str]:
    yield f"### {name}\n"
    if schema.get("description"):
        yield f"{_in_cell(schema['description']).replace('``', '`')}\n"
    required = set(schema.get("required", ()))
    rows = (
        [f"`{field}`", _type(each), "yes" if field in required else "no", each.get("description", ""), _example(each)]
        for field, each in schema.get("properties", {}).items()
    )
    yield from _table("field", "type", "always there", "meaning", "example", rows=rows)


def _example(schema: Json) -> str:
    return ", ".join(f"`{json.dumps(each)}`" for each in schema.get("examples", ()))


def _type(schema: Json) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return ", or ".join(_type(each) for each in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return ", ".join([schema.get("type", "anything"), *_bounds(schema)])


def _bounds(schema: Json) -> Iterator[str]:
    if "enum" in schema:
        yield "one of " + ", ".join(f"`{each}`" for each in schema["enum"])
    if "maxLength" in schema:
        yield f"at most {schema['maxLength']} characters"
    if "maximum" in schema:
        yield f"{schema.get('minimum', 0)} to {schema['maximum']}"
    if schema.get("format"):
        yield str(schema["format"])


# --- settings --------------------------------------------------------------------------------------------------


def _settings() -> Iterator[str]:
    yield f"# Settings\n\n{NOTE}\n"
    yield "Settings come from the environment or a `.env` file; the environment wins, and empty values count as unset."
    yield f"Each name may have the prefix `{PREFIX}`: that name wins over the bare one, also when it is in the file and"
    yield "the bare one in the environment. The start lists every wrong setting at once. Secrets are never printed.\n"
    rules = {str(field.alias): _rule(field) for field in Settings.model_fields.values()}
    for plugin in installed_plugins().values():
        rules |= {each.name: _gateways_rule(each) for each in declared(plugin.settings).values()}
    for names, default, meaning in _settings_rows():
        for name, own in zip(names, _defaults(default, len(names)), strict=True):
            yield from _setting(name, [each for each in names if each != name], own, meaning, rules[name])


def _setting(name: str, others: list[str], default: str, meaning: str, rule: tuple[str, bool]) -> Iterator[str]:
    """One heading for each setting, so that each has an anchor: ``settings.md#stripe_secret_key``."""
    value, secret = rule
    yield f"## {name}\n"
    beside = ", ".join(f"[`{each}`](#{each.lower()})" for each in others)
    yield f"{_sentence(meaning)}{f' (With {beside}.)' if others else ''}\n"
    yield f"- Value: {value}"
    yield f"- Default: {default}"
    if secret:
        yield "- Secret: it is never printed"
    yield ""


def _defaults(text: str, count: int) -> list[str]:
    """The default of each setting of a row: one for each name in their order, or one text for all of them."""
    parts = text.split(", ")
    return parts if len(parts) == count else [text] * count


def _settings_rows() -> Iterator[tuple[list[str], str, str]]:
    """Names, default and meaning of each row of docs/settings.md."""
    table = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
    for names, default, meaning in re.findall(r"^\| (`[A-Z].+?) \| (.+?) \| (.+) \|$", table, re.MULTILINE):
        yield re.findall(r"`([A-Z_]+)`", names), default, meaning.replace("](", "](../")


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _gateways_rule(setting: PluginSetting) -> tuple[str, bool]:
    return setting.description, setting.secret


def _rule(field: FieldInfo) -> tuple[str, bool]:
    return str(field.description), "Secret" in str(field.annotation)


# --- the command line ------------------------------------------------------------------------------------------


def _cli() -> Iterator[str]:
    yield f"# Command line\n\n{NOTE} `booking-payments COMMAND --help` says the same.\n"
    yield from _command(command_line, ["booking-payments"])


def _command(command: click.Command, names: list[str]) -> Iterator[str]:
    context = click.Context(command, info_name=names[-1])
    if isinstance(command, click.Group):
        for each in command.commands.values():
            yield from _command(each, [*names, each.name or ""])
        return
    usage = " ".join(command.collect_usage_pieces(context))
    told, _, examples = (command.help or "").partition("\b")
    yield f"## {' '.join(names)}\n\n```text\n{' '.join(names)} {usage}\n```\n\n{cleandoc(told.strip())}\n"
    if examples:
        lines = [line.strip() for line in examples.splitlines() if line.strip() and not line.strip().endswith("s:")]
        yield "```sh\n" + "\n".join(lines) + "\n```\n"
    options = [each for each in command.params if isinstance(each, click.Option) and not each.hidden]
    if options:
        yield from _table("option", "meaning", rows=(_option(each, context) for each in options))


def _option(option: click.Option, context: click.Context) -> list[str]:
    record = option.get_help_record(context) or ("", "")
    return [f"`{record[0]}`", record[1]]


# --- metrics ---------------------------------------------------------------------------------------------------


def _metrics() -> Iterator[str]:
    yield f"# Metrics\n\n{NOTE} What `/metrics` tells Prometheus; see [watching it](../observability.md).\n"
    yield "Counters and histograms are of the process that is asked:\n"
    yield from _table("name", "type", "labels", "meaning", rows=_families(Metrics(()).registry))
    books = CollectorRegistry()
    kit = PaymentsTestKit()
    gauges.fill(books, asyncio.run(kit.payments.figures(kit.clock.now())), kit.payments.gateway_names)
    yield "Gauges are of the books, the same whichever process is asked:\n"
    yield from _table("name", "type", "labels", "meaning", rows=_families(books))


def _families(registry: CollectorRegistry) -> Iterator[list[str]]:
    for collector in registry._collector_to_names:
        (family,) = collector.describe() if hasattr(collector, "describe") else collector.collect()
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = ", ".join(f"`{each}`" for each in getattr(collector, "_labelnames", ()))
        yield [f"`{name}`", family.type, labels, family.documentation]


# --- errors ----------------------------------------------------------------------------------------------------


def _errors() -> Iterator[str]:
    yield f"# Error codes\n\n{NOTE}\n"
    yield "`code` of a [problem](http.md#problemdetails), and of the error that the library raises. Codes are stable;"
    yield "texts (`detail`) may change, and some name the amount or the field. For example:\n"
    yield "```json"
    refused = QuoteReason.EXCEEDS_REFUNDABLE
    example = msgspec.to_builtins(problem(422, refused.code, refused.message))
    yield f"{json.dumps(example, indent=2)}\n```\n"
    rows = ([f"`{each.code}`", str(each.status), each.meaning, each.remedy] for each in ERROR_CODES)
    yield from _table("code", "status", "meaning", "remedy", rows=rows)


def _declines() -> Iterator[str]:
    yield f"# Declines\n\n{NOTE}\n"
    yield "Why a payment was declined, by the `decline_code` of the gateway, or its `code` where there is none; the"
    yield "console shows the same. Of a hidden reason customers get the general text, and may be told nothing else.\n"
    rows = (
        [f"`{code}`", each.why, each.say, "hidden" if each.hidden else ""]
        for code in sorted(REASONS)
        for each in [reason_of(Decline(code=GENERIC_CODE, message="", decline_code=code))]
    )
    yield from _table("code", "why", "what to tell the customer", "", rows=rows)


# --- log events ------------------------------------------------------------------------------------------------


def _log_events() -> Iterator[str]:
    yield f"# Log events\n\n{NOTE} The format of the lines is described in [watching it](../observability.md).\n"
    yield "Names and fields are stable: search and alert by them. A line of an HTTP request also has its"
    yield "`correlation_id`, and a line with a traceback has `exception`.\n"
    rows = (
        [
            f"`{each.name}`",
            ", ".join(level.upper() for level in each.levels),
            f"`{each.logger}`",
            each.meaning,
            ", ".join(f"`{field}`" for field in each.fields),
        ]
        for each in LOG_EVENTS
    )
    yield from _table("event", "level", "logger", "meaning", "fields", rows=rows)


# --- messages --------------------------------------------------------------------------------------------------


def _messages() -> Iterator[str]:
    yield f"# Messages\n\n{NOTE} What [messages to the booking app](../messages.md) look like on every channel.\n"
    yield "Each type has a JSON Schema (2020-12); in Python it is `booking_payments.message_schema(type)`. Fields that"
    yield "it does not name may be added; `data.schema_version` grows when one is removed or changes its meaning.\n"
    for kind in MESSAGE_TYPES:
        schema = message_schema(kind)
        yield f"## {kind}\n\n{schema['description']}\n"
        own = schema["properties"]["data"]["properties"]
        rows = ([f"`{name}`", its["description"]] for name, its in own.items())
        yield from _table("field of `data`", "meaning", rows=rows)
        yield f"```json\n{json.dumps(schema, indent=2)}\n```\n"


# --- writing ---------------------------------------------------------------------------------------------------


def stale() -> list[str]:
    """The names of the pages that don't say what the code says."""
    return [name for name, text in pages().items() if _read(FOLDER / f"{name}.md") != text]


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def main() -> int:
    """Write the pages; returns the exit code."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / f"{name}.md").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
