"""What the README shows is what the program prints."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .console import TOP, run, steps


@pytest.mark.tensorflow
def test_the_tour_prints_what_it_says(tmp_path: Path) -> None:
    tour = steps((TOP / "README.md").read_text())
    assert len(tour) >= 10
    run(tour, tmp_path, cwd=TOP)


def test_every_command_of_the_readme_and_the_docs_exists() -> None:
    help_text = subprocess.run(
        [sys.executable, "-m", "modelrepo", "--help"], check=True, capture_output=True, text=True, timeout=60
    ).stdout
    known = set(re.findall(r"^  ([a-z-]+)  ", help_text, re.MULTILINE))
    pages = [TOP / "README.md", TOP / "CHANGELOG.md", *(TOP / "docs").rglob("*.md")]
    for page in pages:
        text = re.sub(r"--repo \S+ ", "", page.read_text())
        used = set(re.findall(r"`(?:\w+=\$\()?modelrepo (?:-q )?([a-z][a-z-]*)", text))
        assert used <= known, (page, used - known)


def kinds() -> set[str]:
    """Every kind of error or finding that the package names."""
    found: set[str] = set()
    for path in (TOP / "modelrepo").rglob("*.py"):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.keyword) and node.arg == "kind" and isinstance(node.value, ast.Constant):
                found.add(str(node.value.value))
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "FailedError":
                found.update(str(word.value) for word in node.args[:1] if isinstance(word, ast.Constant))
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "default_kind":
                found.add(str(ast.literal_eval(node.value)))
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_REFUSED" and path.name == "errors.py":
                found.update(value.value for value in node.value.values)  # type: ignore[attr-defined]
            if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "_FAMILIES":
                found.update(str(ast.literal_eval(key)) for key in node.value.keys if key)  # type: ignore[union-attr]
        found.update(re.findall(r'"(model-(?:memory|unloadable))"', path.read_text()))
    return found


def test_every_kind_of_error_and_finding_is_documented_and_no_other() -> None:
    page = (TOP / "docs" / "scripting.md").read_text()
    section = page[page.index("## Kinds of errors") : page.index("## Small things")]
    documented = set(re.findall(r"`([a-z]+(?:-[a-z]+)*)`", section)) - {"error.kind", "init", "verify", "status"}
    assert documented == kinds() - {"file", "directory", "link", "special"}


def test_links_between_pages_lead_somewhere() -> None:
    for page in [TOP / "README.md", TOP / "CONTRIBUTING.md", *(TOP / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), (page, target)
