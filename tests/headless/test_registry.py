"""What the Comfy registry gets: a valid description, and an archive with all that runs and nothing else."""

import re
import shutil
import subprocess
import zipfile

import pytest

from sora_core.headless.comfy_program import comfy_environment, comfy_program


def comfy(folder, *arguments):
    command = [comfy_program(), "--skip-prompt", *arguments]
    done = subprocess.run(command, cwd=folder, env=comfy_environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def archive(root, tmp_path_factory):
    """The archive that `comfy node pack` makes of the files that git knows."""
    copy = tmp_path_factory.mktemp("pack") / "sora-video"
    known = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, encoding="utf-8", check=True)
    for name in filter(None, known.stdout.split("\0")):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / name, copy / name)
    comfy(copy, "node", "pack")
    with zipfile.ZipFile(copy / "node.zip") as content:
        yield content


def test_description_is_valid(root):
    said = comfy(root, "node", "validate")
    assert "passed successfully" in said
    assert "warning" not in said.lower()


def test_archive_holds_all_that_runs(root, archive):
    names = set(archive.namelist())
    assert {"__init__.py", "pyproject.toml", "requirements.txt", "LICENSE", "README.md"} <= names
    for folder in ("nodes", "sora_core", "web", "locales", "workflows", "subgraphs"):
        for path in (root / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert path.relative_to(root).as_posix() in names


def test_archive_holds_nothing_else(archive):
    tops = {name.split("/")[0] for name in archive.namelist()}
    texts = {"pyproject.toml", "requirements.txt", "LICENSE", "README.md", "CHANGELOG.md"}
    assert tops == texts | {"__init__.py", "nodes", "sora_core", "web", "locales", "workflows", "subgraphs"}
    assert not [name for name in archive.namelist() if name.endswith(".pyc")]


def test_archive_is_small_enough_to_install_without_thought(archive):
    assert sum(entry.compress_size for entry in archive.infolist()) < 60e6


def test_publishing_waits_for_a_version_and_a_secret(root):
    steps = (root / ".github" / "workflows" / "publish.yml").read_text("utf-8")
    assert re.search(r"paths:\s*\[pyproject\.toml\]", steps)
    assert "secrets.REGISTRY_ACCESS_TOKEN" in steps
    assert "node publish" in steps
