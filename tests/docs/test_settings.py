"""portal/settings.py, .env.example and docs/settings.md name the same settings, with the same defaults."""

import ast
import os
import re
import subprocess
import sys

from tests.docs.pages import ROOT, rows

SETTINGS, PAGE, EXAMPLE = (ROOT / part for part in ("portal/settings.py", "docs/settings.md", ".env.example"))
HEADINGS = (
    "The portal",
    "Where the parts are",
    "The pipeline",
    "Old readings, and SQL on Athena",
    "Fault tests",
)
EMPTY = ("empty", "none")


def asked() -> dict[str, object]:
    """Each variable that settings.py asks for, and its default where it is written out (else None)."""
    found = {}
    for call in ast.walk(ast.parse(SETTINGS.read_text())):
        if (
            isinstance(call, ast.Call)
            and isinstance(call.func, ast.Attribute)
            and ast.unparse(call.func.value) == "env"
        ):
            default = next((word.value for word in call.keywords if word.arg == "default"), None)
            if call.args and isinstance(call.args[0], ast.Constant):
                found[call.args[0].value] = ast.literal_eval(default) if _is_written_out(default) else None
    return found


def _is_written_out(default: ast.expr | None) -> bool:
    return default is not None and all(isinstance(n, ast.Constant | ast.List | ast.Load) for n in ast.walk(default))


def text_of(default: object) -> str:
    if isinstance(default, list):
        return ",".join(default)
    return str(default).lower() if isinstance(default, bool) else str(default)


def example() -> dict[str, str]:
    return dict(re.findall(r"^(?:# )?([A-Z][A-Z_]+)=(.*)$", EXAMPLE.read_text(), re.MULTILINE))


def documented() -> dict[str, str]:
    return {cells[0].strip("`"): cells[1] for heading in HEADINGS for cells in rows(PAGE, heading)}


def test_all_three_name_the_same_settings():
    assert set(asked()) == set(documented()) == set(example())


def test_defaults_are_those_of_the_code():
    for name, default in asked().items():
        if default is None:
            continue
        shown = documented()[name]
        if default in ("", []):
            assert shown in EMPTY, name
            assert example()[name] == "", name
        else:
            assert shown == f"`{text_of(default)}`", name
            assert example()[name] == text_of(default), name


def start(**env: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if name not in asked()}
    command = [sys.executable, "-c", "import portal.settings"]
    return subprocess.run(command, cwd=ROOT, env={**clean, **env}, capture_output=True, text=True, timeout=60)


def test_the_example_starts_once_its_secret_is_changed():
    refused = start(**example())
    assert refused.returncode != 0
    assert "SECRET_KEY is missing or still the example's" in refused.stderr
    changed = start(**{**example(), "SECRET_KEY": "a-long-random-text-that-nobody-guesses-0123456789"})
    assert changed.returncode == 0, changed.stderr


def test_only_the_secret_must_be_changed():
    lines = EXAMPLE.read_text().splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == ["SECRET_KEY=change-me"]
