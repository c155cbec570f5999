"""Shows an OpenAPI document to people: one page that needs nothing from anywhere else."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

STYLE = (
    "body{font:15px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em}"
    "pre{background:#f4f4f4;padding:1em;overflow:auto}"
)


def page(document: Mapping[str, Any]) -> str:
    """HTML of a document as `serving.rest.openapi` makes it."""
    about = document["info"]
    title = f"{escape(about['title'])} {escape(about['version'])}"
    body = "".join(_paths(document["paths"]))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
        f"<h1>{title}</h1><p>{escape(about['description'])} <a href='openapi.json'>openapi.json</a></p>{body}"
        f"<h2>Problems</h2>{_schema(document['components']['schemas']['Problem'])}</html>"
    )


def _paths(paths: Mapping[str, Any]) -> Iterator[str]:
    for path, methods in paths.items():
        for method, call in methods.items():
            yield f"<h2>{method.upper()} <code>{escape(path)}</code></h2><p>{escape(call['summary'])}</p>"
            for parameter in call.get("parameters", ()):
                yield f"<p>Header <code>{escape(parameter['name'])}</code>: {escape(parameter['description'])}</p>"
            if "requestBody" in call:
                yield f"<h3>Request</h3>{_schema(_of(call['requestBody']))}"
            yield f"<h3>Answer</h3>{_schema(_of(call['responses']['200']))}"


def _of(content: Mapping[str, Any]) -> Any:
    return content["content"]["application/json"]["schema"]


def _schema(schema: Any) -> str:
    return f"<pre>{escape(json.dumps(schema, indent=2))}</pre>"
