import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys
import adfeast.feast_ext.store
from feast import FeatureView
from feast.online_response import get_torch
assert "torch" not in sys.modules, "torch was imported"
assert FeatureView.__init__.__code__.co_filename.endswith("feature_view.py")
assert not hasattr(FeatureView.__init__, "__wrapped__")
import typeguard
@typeguard.typechecked
def double(number: int) -> int:
    return 2 * number
try:
    double("two")
except typeguard.TypeCheckError:
    print(get_torch().__name__)
"""


def test_feast_comes_without_torch_until_it_is_asked_for_and_others_are_type_checked(tmp_path: Path) -> None:
    program = tmp_path / "program.py"  # typeguard reads the source of what it checks
    program.write_text(PROGRAM)
    said = subprocess.run([sys.executable, program], capture_output=True, text=True, check=False)
    assert (said.stdout, said.returncode) == ("torch\n", 0), said.stderr
