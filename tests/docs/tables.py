"""Tables of the documents that are made from the code. `python -m tests.docs.tables` writes them."""

import re
from pathlib import Path

from ingestion.vitals import VITALS, Column, Vital

ROOT = Path(__file__).resolve().parents[2]
CONTRACT = ROOT / "docs" / "reading-contract.md"
_VITALS = re.compile(r"(<!-- vitals: .*? -->\n).*?(<!-- end of vitals -->)", re.DOTALL)


def vitals() -> str:
    """The table of vitals as Markdown."""
    lines = ["| name | vital | LOINC | UCUM | plausible | expected | fresh for |", "|---|---|---|---|---|---|---|"]
    lines += [f"| {' | '.join(_cells(vital))} |" for vital in VITALS.values()]
    return "\n".join(lines) + "\n"


def with_tables(text: str) -> str:
    """The text of the reading contract with its table as the code has it."""
    return _VITALS.sub(lambda found: found[1] + vitals() + found[2], text)


def _cells(vital: Vital) -> list[str]:
    plausible = {
        Column.NUMBER: f"{vital.low:g} to {vital.high:g}",
        Column.FLAG: "true or false",
        Column.CODE: ", ".join(vital.codes),
    }[vital.column]
    loinc, ucum = vital.loinc or "-", vital.ucum
    return [f"`{vital.name}`", vital.label, loinc, ucum, plausible, _time(vital.expected_s), _time(vital.max_age_s)]


def _time(seconds: int) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds % length == 0:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


if __name__ == "__main__":
    CONTRACT.write_text(with_tables(CONTRACT.read_text()))
