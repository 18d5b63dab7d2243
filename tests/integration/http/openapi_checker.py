"""Checks responses against the OpenAPI document: status, media type and schema have to be documented."""

import re
from typing import Any

import httpx
import jsonschema_rs
from attrs import define, field

Json = dict[str, Any]
FRAMEWORK = (404, 405)
"""Responses of unknown paths and methods, which no operation documents."""


@define
class OpenApiChecker:
    """The document, and which of its responses have been seen."""

    document: Json
    seen: set[tuple[str, str, int]] = field(factory=set)
    _validators: dict[tuple[str, str, str, int], Any] = field(factory=dict)
    _templates: list[tuple[re.Pattern[str], str, Json]] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._templates = [
            (re.compile(re.sub(r"\\{[a-z_]+\\}", "[^/]+", re.escape(template.rstrip("/")))), template, operations)
            for template, operations in self.document["paths"].items()
        ]

    def check(self, method: str, path: str, response: httpx.Response) -> None:
        """Fail unless the document contains this response."""
        found = self._operation(method, path.partition("?")[0])
        if found is None:
            assert response.status_code in (*FRAMEWORK, 204, 413, 414, 429) or path.startswith("/schema"), response.text
            return
        template, operation = found
        announced = operation["responses"].get(str(response.status_code))
        assert announced, f"{method} {template} does not announce {response.status_code}: {response.text}"
        media = response.headers["content-type"].partition(";")[0]
        assert media in announced["content"], f"{method} {template} {response.status_code} does not announce {media}"
        if media.endswith("json"):
            this = (method, template, media, response.status_code)
            validator = self._validators.get(this) or self._validator(this, announced["content"][media])
            errors = [f"{error.instance_path}: {error.message}" for error in validator.iter_errors(response.json())]
            assert not errors, errors
        self.seen.add((method, template, response.status_code))

    def _operation(self, method: str, path: str) -> tuple[str, Json] | None:
        for pattern, template, operations in self._templates:
            if pattern.fullmatch(path.removesuffix("/")) and method.lower() in operations:
                return template, operations[method.lower()]
        return None

    def _validator(self, of: tuple[str, str, str, int], content: Json) -> Any:
        root = {**content["schema"], "components": self.document["components"]}
        self._validators[of] = jsonschema_rs.Draft202012Validator(root, validate_formats=False)
        return self._validators[of]
