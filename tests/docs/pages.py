"""The documents, as tests read them."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def links(page: Path) -> list[str]:
    """Where the links and images of the page lead to within the repository."""
    return [link for link in _LINK.findall(_FENCE.sub("", page.read_text())) if "://" not in link]


def code(page: Path) -> list[str]:
    """Everything that the page shows as code: in a sentence, and line by line of each block."""
    text = page.read_text()
    inline = re.findall(r"`([^`\n]+)`", _FENCE.sub("", text))
    return inline + [line for _, block in _FENCE.findall(text) for line in block.splitlines()]


def commands(page: Path) -> list[str]:
    """The lines of the page's shell blocks, without their comments."""
    return [
        line.partition("  #")[0].strip()
        for language, block in _FENCE.findall(page.read_text())
        if language == "sh"
        for line in block.splitlines()
    ]


def rows(page: Path, heading: str) -> Iterator[list[str]]:
    """The cells of the table under this heading, without its head."""
    section = page.read_text().split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    table = [line for line in section.splitlines() if line.startswith("|")]
    for line in table[2:]:
        yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))]


def first_codes(page: Path, heading: str) -> list[str]:
    """The names, without their backticks, in the first column of that table."""
    return [cells[0].strip("`") for cells in rows(page, heading)]
