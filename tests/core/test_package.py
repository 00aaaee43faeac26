"""The contract of the package and the pack: dependencies, layering and what a plain import may do."""

import ast
import json
import re
import subprocess
import sys
import tomllib

import pytest
from setuptools import find_packages

COMFY_MODULES = {"comfy", "comfy_api", "comfy_execution", "folder_paths", "node_helpers", "latent_preview", "comfy_cli"}


@pytest.fixture(scope="module")
def project(root):
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))


def run_python(root, code):
    """Runs code in a fresh interpreter outside the repository and returns the JSON that it prints."""
    done = subprocess.run([sys.executable, "-c", code, str(root)], cwd=root.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_requirements_equal_dependencies(root, project):
    lines = [line.strip() for line in (root / "requirements.txt").read_text().splitlines()]
    assert [line for line in lines if line and not line.startswith("#")] == project["project"]["dependencies"]


def test_runtime_dependencies_never_touch_torch_and_set_no_upper_bounds(project):
    for line in project["project"]["dependencies"]:
        assert not line.startswith("torch")
        assert re.fullmatch(r"[A-Za-z0-9-]+(>=[0-9.]+)?", line), line


def test_registry_metadata_is_complete(project):
    assert {"Repository", "Issues", "Bug Tracker"} <= set(project["project"]["urls"])
    assert {"PublisherId", "DisplayName"} <= set(project["tool"]["comfy"])
    assert "comfyui" not in project["project"]["name"].lower()
    assert not [line for line in project["project"]["classifiers"] if "GPU" in line]


def test_version_is_the_same_everywhere(project):
    import sora_core

    assert sora_core.__version__ == project["project"]["version"]


def test_importing_the_pack_only_names_its_entry_point(root):
    code = """
import importlib.util, json, sys
before = set(sys.modules)
root = sys.argv[1]
spec = importlib.util.spec_from_file_location("pack", root + "/__init__.py", submodule_search_locations=[root])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
public = [name for name in vars(module) if not name.startswith("_")]
print(json.dumps({"new": sorted(set(sys.modules) - before), "public": public}))
"""
    found = run_python(root, code)
    assert {name.split(".")[0].lstrip("_") for name in found["new"]} <= {"typing", "collections"}
    assert set(found["public"]) == {"TYPE_CHECKING", "WEB_DIRECTORY", "comfy_entrypoint"}


def test_a_python_that_is_too_old_is_named(root):
    code = """
import importlib.util, json, sys
root = sys.argv[1]
spec = importlib.util.spec_from_file_location("pack", root + "/__init__.py", submodule_search_locations=[root])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
sys.version_info = (3, 10, 12)
try:
    module.comfy_entrypoint().send(None)
except RuntimeError as error:
    print(json.dumps(str(error)))
"""
    assert run_python(root, code).startswith("Sora needs Python 3.11 or newer, and this ComfyUI runs with 3.10; ")


def test_importing_the_library_is_light(root):
    code = "import sora_core, sora_core.headless, json, sys; print(json.dumps(sorted(sys.modules)))"
    assert not {"torch", "numpy", "kornia", "av", "aiohttp"} & set(run_python(root, code))


def test_nodes_cannot_be_imported_as_a_top_level_module(root):
    code = "import importlib.util as u, json; print(json.dumps([str(u.find_spec(n)) for n in ('nodes', 'tests')]))"
    assert [spec for spec in run_python(root, code) if str(root) in spec] == []


def test_every_folder_of_the_library_is_a_package(root):
    packages = set(find_packages(str(root), include=["sora_core*"]))
    folders = {path.parent.relative_to(root) for path in (root / "sora_core").rglob("*.py")}
    assert {".".join(folder.parts) for folder in folders} - packages == set()


def test_library_never_imports_comfyui_or_the_pack(root):
    guilty = []
    for path in (root / "sora_core").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            guilty += [f"{path}: {name}" for name in names if name.split(".")[0] in COMFY_MODULES | {"nodes"}]
    assert guilty == []
