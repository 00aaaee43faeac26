"""What stands in for torchvision and torchaudio lets ComfyUI start, and says what is missing when it is called."""

import subprocess
import sys

import pytest

from sora_core.headless.comfyui import STAND_INS, _stand_in

CODE = """
import importlib, sys
for module in sys.argv[2:]:
    assert importlib.import_module(module).__file__.startswith(sys.argv[1]), module
    assert not hasattr(sys.modules[module], "__version__"), "nothing may take it for the real one"
from torchvision import ops, transforms
from torchvision.ops import roi_align
import torchaudio.functional as functional
assert (ops, transforms) == (sys.modules["torchvision.ops"], sys.modules["torchvision.transforms"])
for call in (roi_align, functional.resample):
    try:
        call(1, size=2)
    except RuntimeError as error:
        print(error)
"""


@pytest.fixture
def folders(monkeypatch, tmp_path):
    monkeypatch.setattr("sora_core.headless.comfyui.CACHE", tmp_path)
    return [str(_stand_in(package)) for package in STAND_INS]


def test_stand_ins_import_and_name_the_missing_package(folders, tmp_path):
    code = f"import sys; sys.path[:0] = {folders!r}\n{CODE}"
    modules = [module for group in STAND_INS.values() for module in group]
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path), *modules], capture_output=True, text=True)
    assert done.stdout.splitlines() == [
        "torchvision.ops.roi_align is not here: install the torchvision that fits this torch.",
        "torchaudio.functional.resample is not here: install the torchaudio that fits this torch.",
    ], done.stderr
