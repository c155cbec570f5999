"""What each image is made of, in CycloneDX, from the lock: `python -m infra.containers_offline.sbom FOLDER`.

Of Python's packages uv says it, with the same extras and without the same packages as the image's own install step; the
jars and their hashes are those that the image's build checks. What a base image holds, its publisher's SBOM says.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from adfeast.settings import ROOT
from infra.containers_offline.dockerfile import IMAGES, image, installed

UV = ROOT / ".local" / "env" / "containers" / "bin" / "uv"
JARS = ROOT / "infra" / "local" / "setup" / "jars.sha256"


def sbom(name: str) -> dict[str, Any]:
    """The bill of materials of an image."""
    stages = image(name)
    parts = [json.loads(exported(extra, pruned, "cyclonedx1.5")) for extra, pruned in installed(stages)]
    found: dict[str, Any] = parts[0]
    found["metadata"]["component"] = {"type": "container", "bom-ref": f"image-{name}", "name": f"adfeast/{name}"}
    # Two environments of an image may hold two versions of a package, and refer to it by the same word.
    components = {c["purl"]: c | {"bom-ref": c["purl"]} for part in parts for c in part["components"] if "purl" in c}
    found["components"] = [c for _, c in sorted(components.items())]
    found["dependencies"] = [{"ref": f"image-{name}", "dependsOn": sorted(components)}]
    folders = {source for s in stages for c in s.of("COPY") for source in c.sources if "/.local/jars/" in source}
    found["components"] += list(_jars({Path(f).name for f in folders}))
    return found


def exported(extra: str, pruned: list[str], form: str) -> str:
    """What an image's install step takes out of the lock, in a format of `uv export`."""
    command = [str(UV), "export", "--frozen", "--quiet", "--no-emit-project", "--extra", extra, "--format", form]
    command += [word for package in pruned for word in ("--prune", package)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def _jars(folders: set[str]) -> list[dict[str, Any]]:
    """The jars in folders of .local/jars/, as files with their hashes."""
    named = (line.split("  ./") for line in JARS.read_text().splitlines())
    return [
        {
            "type": "file",
            "bom-ref": f"jar:{path}",
            "name": path,
            "hashes": [{"alg": "SHA-256", "content": digest}],
        }
        for digest, path in named
        if path.split("/")[0] in folders
    ]


def main() -> None:
    """Writes one file an image."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name in IMAGES:
        file = folder / f"{name}.cdx.json"
        file.write_text(json.dumps(sbom(name), indent=1) + "\n")
        sys.stdout.write(f"{file}\n")


if __name__ == "__main__":
    main()
