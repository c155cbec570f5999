"""Reads the AWS provider's resource schemas out of its TypeScript bindings, into schemas.json.

    npm pack @cdktn/provider-aws@25.7.0 && tar xzf cdktn-provider-aws-25.7.0.tgz
    python -m infra.terraform_offline.schemas package/lib infra/terraform

The bindings (MPL-2.0) are generated from the provider's schemas, so names, types, blocks and what is required are all
there; what is both optional and computed by AWS cannot be told and is taken as optional.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("schemas.json")
INTERFACE = re.compile(r"export interface (\w+)(?: extends [^{]+)? \{\n(.*?)\n\}", re.S)
PROPERTY = re.compile(
    r"/\*\*(?P<doc>(?:(?!\*/).)*)\*/\s*readonly \w+(?P<optional>\?)?: (?P<type>\{.*?\n    \}[^;]*|[^;]+);", re.S
)
CLASS = re.compile(r"export declare class (\w+)OutputReference extends [^{]+\{\n(.*?)\n\}", re.S)
GETTER = re.compile(r"^    get (\w+)\(\): ([^;]+);", re.M)
USED = re.compile(r'^resource "(aws_\w+)"', re.M)
SCALARS = {"string": "string", "number": "number", "boolean": "bool"}
Type = str | list[str]
Block = dict[str, dict[str, Any]]


def main(bindings: Path, terraform: Path) -> None:
    """Writes the schemas of the resources that the modules use, one a line."""
    used = sorted({t for file in terraform.rglob("*.tf") for t in USED.findall(file.read_text())})
    lines = [f"{json.dumps(t)}: {json.dumps(_resource(bindings, t), separators=(',', ':'))}" for t in used]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def _resource(bindings: Path, kind: str) -> Block:
    source = (bindings / kind.removeprefix("aws_").replace("_", "-") / "index.d.ts").read_text()
    interfaces = dict(INTERFACE.findall(source))
    classes = dict(CLASS.findall(source))
    own = source[source.index("tfResourceType") :]
    classes[config := next(name for name in interfaces if name.endswith("Config"))] = own
    return _block(config, interfaces, classes)


def _block(name: str, interfaces: dict[str, str], classes: dict[str, str]) -> Block:
    attributes: dict[str, Any] = {}
    blocks: dict[str, Any] = {}
    for found in PROPERTY.finditer(interfaces[name]):
        snake = re.search(r"#(\w+) \w+#\w+\}", found["doc"])
        target = re.match(r"(\w+)(\[\])?", found["type"])
        if snake is None:
            continue
        own, required = snake[1], not found["optional"]
        if target and target[1] in interfaces and re.search(rf"^\s*\*?\s*{own} block", found["doc"], re.M):
            blocks[own] = {
                "block": _block(target[1], interfaces, classes),
                "many": bool(target[2]),
                "required": required,
            }
        else:
            attributes[own] = {"type": _type(found["type"]), "required": required}
    # What is only computed has a getter and stands in no configuration.
    for camel, text in GETTER.findall(classes.get(name, "")):
        own = re.sub("([A-Z])", lambda upper: "_" + upper[1].lower(), camel)
        if not camel.endswith("Input") and own != "internal_value" and own not in attributes.keys() | blocks.keys():
            attributes[own] = {"type": SCALARS.get(text, "dynamic"), "computed": True}
    return {"attributes": attributes, "blocks": blocks}


def _type(text: str) -> Type:
    text = re.sub(r" \| cdktn?f?\.IResolvable", "", text).strip()
    if text in SCALARS:
        return SCALARS[text]
    if text.endswith("[]"):  # lists and sets are the same here
        return ["set", SCALARS.get(text[:-2].strip("()"), "dynamic")]
    values = re.search(r"\[key: string\]: ([^;]+);", text) if text.startswith("{") else None
    if values:
        return ["map", SCALARS.get(values[1].replace("(", "").replace(")", "").split(" |")[0], "dynamic")]
    return "dynamic"


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
