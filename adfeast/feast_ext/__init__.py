"""What Feast loads by name, and the helpers that definitions are declared with."""

from adfeast.feast_ext import quick_import

quick_import.prepare()
