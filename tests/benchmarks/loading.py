"""Scripts are no package: their files are loaded by name."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType


def load_script(name: str) -> ModuleType:
    """``scripts/<name>.py`` as a module."""
    path = Path(__file__).parents[2] / "scripts" / f"{name}.py"
    found = importlib.util.spec_from_file_location(name, path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module  # where its dataclasses look for their own names
    found.loader.exec_module(module)
    return module
