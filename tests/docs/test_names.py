"""Whatever a document names is there: files, targets, modules, commands, tests."""

import importlib
import re
import subprocess

import pytest
from django.core.management import get_commands

from tests.docs.pages import PAGES, ROOT, code, commands, links, name

everywhere = pytest.mark.parametrize("page", PAGES, ids=name)
MODULE = re.compile(r"(?:portal|analytics|ingestion|simulator|tests)(?:\.[A-Za-z_]\w*)+")
TEST = re.compile(r"(tests/[\w/]+\.py)::(\w+)")
FILE = re.compile(
    r"(?:portal|analytics|ingestion|simulator|tests|docs|requirements|\.ci)/[\w./*-]*\w[\w/*]*|manage\.py"
)


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@everywhere
def test_every_link_leads_to_a_file(page):
    missing = [link for link in links(page) if link[0] != "#" and not (page.parent / link.partition("#")[0]).exists()]
    assert not missing


@everywhere
def test_every_make_target_is_there(page):
    named = {found for text in code(page) for found in re.findall(r"\bmake ([a-z][a-z-]*)", text)}
    assert named <= targets()


@everywhere
def test_every_module_is_there(page):
    for text in code(page):
        for dotted in MODULE.findall(text):
            if not dotted.endswith((".py", ".md")):
                assert _found(dotted), dotted


def _found(dotted: str) -> bool:
    """Whether it is a module, or something that a module has."""
    try:
        importlib.import_module(dotted)
    except ModuleNotFoundError:
        module, _, attribute = dotted.rpartition(".")
        return bool(module) and hasattr(importlib.import_module(module), attribute)
    return True


@everywhere
def test_every_file_is_there(page):
    for text in code(page):
        for path in FILE.findall(text):
            if "::" not in text and not path.startswith("portal.asgi"):
                assert list(ROOT.glob(path)), path


@everywhere
def test_every_test_is_there(page):
    for path, test in TEST.findall(page.read_text()):
        assert re.search(rf"^(async )?def {test}\(", (ROOT / path).read_text(), re.MULTILINE), f"{path}::{test}"


@everywhere
def test_every_management_command_is_there(page):
    named = {found for text in code(page) for found in re.findall(r"manage\.py ([a-z_]+)", text)}
    assert named <= {*get_commands()}


@everywhere
def test_every_shell_line_is_shell(page):
    for command in commands(page):
        assert subprocess.run(["bash", "-n", "-c", command], check=False).returncode == 0, command


def test_make_help_prints_every_target():
    printed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    lines = dict(re.findall(r"^  make ([a-z-]+) +(\S.*)$", printed, re.MULTILINE))
    assert set(lines) == targets()
    assert subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout == printed


def test_the_hooks_before_a_commit_are_those_of_make_lint():
    lint = re.search(r"^lint:.*\n\t@(.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    hooks = re.findall(r"entry: \.venv/bin/(.*)$", (ROOT / ".pre-commit-config.yaml").read_text(), re.MULTILINE)
    steps = [step.removeprefix("$(BIN)/").removesuffix(" .") for step in lint[1].split(" && ")]
    assert [hook.removesuffix(" --force-exclude") for hook in hooks] == steps


def test_no_document_is_forgotten():
    """A page of docs/ is in its index by name, or with its folder."""
    index = {(ROOT / "docs" / link).resolve() for link in links(ROOT / "docs" / "README.md")}
    pages = [page for page in PAGES if page.parent != ROOT and page != ROOT / "docs" / "README.md"]
    assert [name(page) for page in pages if not index & {page, page.parent}] == []
