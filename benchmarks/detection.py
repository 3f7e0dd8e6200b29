"""How good is the detector at a given number of false alerts, beside other methods, on the evaluation harness.

Thresholds are fixed on the dev share and then frozen; the figures are those of other seeds. The harness and its data
are not part of this repository: `--harness` says where they are, `--python` which Python has pandas, scikit-learn and
scipy for it. `--quick` runs few seeds and few peers. The last line is one JSON object.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLUGIN = ROOT / "benchmarks" / "detection_plugin.py"
PEERS = {
    "daily": ("wellrange", "wellrange_7_nights", "cand_multichannel", "nightsignal", "user_z28", "iforest_user"),
    "illness": ("wellrange", "cand_multichannel", "ewma_composite", "nightsignal", "user_z28"),
    "minute": ("wellrange", "cand_multiscale2", "ewma_gate", "iforest_user", "news2_persist15"),
}
QUICK = {"daily": ("wellrange", "nightsignal"), "illness": ("wellrange",), "minute": ("wellrange", "ewma_gate")}
BUDGET = {"daily": ("0.05", "0.1"), "illness": ("0.05", "0.1"), "minute": ("0.25", "0.5")}
SHOWN = {
    "daily": ("fa_per_user_week", "recall_all", "nuisance_rate", "delay_mean", "R_illness_5d", "R_illness_mild_5d"),
    "illness": ("fa_per_user_week", "detected_pm7", "chance15d", "presympt_7d", "AUROC_ill_day", "AUPRC_ill_day"),
    "minute": (
        "fa_per_user_week",
        "recall_all",
        "nuisance_rate",
        "R_sepsis_ramp_12h",
        "D_sepsis_ramp_12h",
        "R_ABS_spo2_85_15m",
        "R_ABS_hr_140_rest_15m",
    ),
}


def main() -> None:
    options = arguments()
    harness = Path(options.harness).resolve()
    if not (harness / "run.py").is_file():
        sys.exit(f"There is no harness in {harness}: say where it is with --harness")
    result = {}
    for track in options.tracks.split(","):
        rows = run(track, harness, options)
        result[track] = {
            name: {f"at {row['fa_target']}": {k: rounded(row.get(k)) for k in SHOWN[track]} for row in of}
            for name, of in rows.items()
        }
        show(track, rows)
    print(json.dumps({"benchmark": "detection", "quick": options.quick, "tracks": result}))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few seeds, few peers")
    default = os.environ.get("WELLRANGE_DETECTION_EVAL", "../shared/detection-eval")
    parser.add_argument("--harness", default=default, help="folder of the evaluation harness")
    parser.add_argument("--python", default=os.environ.get("WELLRANGE_EVAL_PYTHON", sys.executable))
    parser.add_argument("--tracks", default="daily,illness,minute")
    return parser.parse_args()


def run(track: str, harness: Path, options: argparse.Namespace) -> dict[str, list[dict[str, str]]]:
    """Fix thresholds with some seeds, then score others; rows of the budgets of interest by detector."""
    names = (QUICK if options.quick else PEERS)[track]
    fixed, other = ("1", "7") if options.quick else ("1,2,3", "7,8,9")
    with tempfile.TemporaryDirectory() as folder:
        thresholds, out = Path(folder, "thresholds.json"), Path(folder, "rows.csv")
        call(track, harness, options, names, fixed, ("--save-thr", str(thresholds)))
        call(track, harness, options, names, other, ("--thr", str(thresholds), "--out", str(out)))
        found: dict[str, list[dict[str, str]]] = {}
        with out.open() as file:
            for row in csv.DictReader(file):
                if row["fa_target"] in BUDGET[track]:
                    found.setdefault(row["detector"], []).append(row)
    return found


def call(
    track: str, harness: Path, options: argparse.Namespace, names: tuple[str, ...], seeds: str, more: tuple[str, ...]
) -> None:
    command = [options.python, "run.py", track, "--split", "dev", "--seeds", seeds, "--dets", ",".join(names)]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(
        [*command, "--plugin", str(PLUGIN), *more],
        cwd=harness,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    if ran.returncode:
        sys.exit(
            f"The harness failed; does {options.python} have pandas, scikit-learn and scipy?\n{ran.stderr[-2000:]}"
        )


def show(track: str, rows: dict[str, list[dict[str, str]]]) -> None:
    print(f"\n{track}: thresholds frozen on dev, other seeds")
    print(f"{'detector':22s} {'budget':>6s} " + " ".join(f"{name[:16]:>16s}" for name in SHOWN[track]))
    for name, of in rows.items():
        for row in of:
            print(
                f"{name:22s} {row['fa_target']:>6s} " + " ".join(f"{rounded(row.get(k))!s:>16s}" for k in SHOWN[track])
            )


def rounded(text: str | None) -> float | None:
    return round(float(text), 3) if text else None


if __name__ == "__main__":
    main()
