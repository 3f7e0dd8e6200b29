"""A call that never returns ends its process, and says where it was."""

import subprocess
import sys

STUCK = "import time\nfrom ingestion.deadline import deadline\ndef stuck(): time.sleep({seconds})\n"
RUN = "with deadline({most}): stuck()\nprint('went on')"


def run(seconds: float, most: float) -> subprocess.CompletedProcess[str]:
    program = STUCK.format(seconds=seconds) + RUN.format(most=most)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=20)


def test_what_outlasts_its_deadline_ends_the_process_and_tells_where_it_was():
    ended = run(seconds=60, most=0.3)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "in stuck" in ended.stderr


def test_what_is_done_in_time_goes_on():
    ended = run(seconds=0.01, most=0.3)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "went on\n", "")
