"""The package works without the pipeline, and importing it is cheap."""

import subprocess
import sys
from pathlib import Path

from tests.models.fasttext.files import Bin

_ROOT = Path(__file__).parents[2]
_PROGRAM = """
import importlib, pkgutil, sys
sys.modules["pipeline"] = None  # so that importing it fails
import models
for module in pkgutil.walk_packages(models.__path__, "models."):
    importlib.import_module(module.name)
heavy = {"pyspark", "pandas", "boto3", "onnxruntime", "onnx", "fasttext"} & sys.modules.keys()
assert not heavy, heavy
from models import fasttext
print(fasttext.load(fasttext.pack(sys.argv[1], sys.argv[2])).embed([["apple"]]).shape)
"""


def test_models_works_without_the_pipeline_and_imports_no_heavy_library(tmp_path: Path) -> None:
    model = Bin().write(tmp_path / "model.bin")
    process = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(model), str(tmp_path / "packed")],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.stdout == "(1, 4)\n", process.stderr
