"""The supervisor of the one-command stack: what dies comes back, and in the end no process is left."""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from portal.embedded import supervisor
from portal.embedded.supervisor import NeverReady, Part, Supervisor

ROOT = Path(__file__).resolve().parents[2]
SLEEP = "import time; time.sleep(600)"
# Runs two parts until Ctrl-C or SIGTERM, as `make demo` does; the second does not stop when asked, and has a child.
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
time.sleep(600)
"""
STACK = f"""
import os, signal, sys
from pathlib import Path
from portal.embedded import supervisor
from portal.embedded.supervisor import Part, Supervisor
supervisor.STOP_S = 1.0
stopping = []
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda n, _: stopping.append(n))
made = Supervisor(Path(sys.argv[1]), os.environ)
made.start(Part("calm", [sys.executable, "-c", {SLEEP!r}]), Part("stubborn", [sys.executable, "-c", {STUBBORN!r}]))
print("started", flush=True)
made.watch(lambda: bool(stopping))
made.stop()
"""


def wait_until(true, seconds=60):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.02)


@pytest.fixture
def supervised(tmp_path):
    made = Supervisor(tmp_path / "logs", os.environ)
    yield made
    made.stop()


def python(name, code, **more):
    return Part(name, [sys.executable, "-S", "-c", code], **more)


def watch_until(made, true, seconds=60):
    deadline = time.monotonic() + seconds

    def stop():
        assert time.monotonic() < deadline, "it did not come to that"
        return true()

    made.watch(stop, every_s=0.01)


def test_a_part_that_was_killed_is_started_again(supervised, monkeypatch):
    monkeypatch.setattr(supervisor, "FIRST_WAIT_S", 0.05)
    supervised.start(python("one", SLEEP), python("other", SLEEP))
    before = supervised.pids()
    os.kill(before["one"], signal.SIGKILL)
    watch_until(supervised, lambda: supervised.pids()["one"] != before["one"])
    assert psutil.pid_exists(supervised.pids()["one"])
    assert supervised.pids()["other"] == before["other"]


def test_a_part_that_keeps_dying_waits_twice_as_long_each_time_but_not_for_ever(supervised, monkeypatch, caplog):
    monkeypatch.setattr(supervisor, "FIRST_WAIT_S", 0.02)
    monkeypatch.setattr(supervisor, "LONGEST_WAIT_S", 0.1)
    supervised.start(python("weak", "import os; os.kill(os.getpid(), 19)"))  # stops itself, and so has started
    with caplog.at_level(logging.WARNING, supervisor.__name__):
        killed = set()

        def five_waits():
            pid = supervised.pids()["weak"]
            if pid not in killed and psutil.Process(pid).status() == psutil.STATUS_STOPPED:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
            return len(waits(caplog)) == 5

        watch_until(supervised, five_waits)
    assert [seconds for _, _, seconds, _ in waits(caplog)] == [0.02, 0.04, 0.08, 0.1, 0.1]
    assert all(name == "weak" and code == -9 and log.name == "weak.log" for name, code, _, log in waits(caplog))


def waits(caplog):
    return [record.args for record in caplog.records]


def test_a_part_that_has_run_steadily_starts_again_at_once(supervised, monkeypatch, caplog):
    monkeypatch.setattr(supervisor, "FIRST_WAIT_S", 0.02)
    monkeypatch.setattr(supervisor, "STEADY_S", 0.0)
    supervised.start(python("steady", SLEEP))
    for died in range(1, 4):
        before = supervised.pids()["steady"]
        os.kill(before, signal.SIGKILL)
        watch_until(supervised, lambda before=before: supervised.pids()["steady"] != before)
        assert len(waits(caplog)) == died
    assert [seconds for _, _, seconds, _ in waits(caplog)] == [0.02] * 3


def runs(process):
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_what_a_dead_part_has_left_behind_is_gone_before_it_starts_again(supervised, monkeypatch):
    monkeypatch.setattr(supervisor, "FIRST_WAIT_S", 0.05)
    supervised.start(python("parent", f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {SLEEP!r}])"))
    first = supervised.pids()["parent"]
    wait_until(lambda: psutil.Process(first).children())
    (child,) = psutil.Process(first).children()
    os.kill(first, signal.SIGKILL)
    watch_until(supervised, lambda: supervised.pids()["parent"] != first)
    wait_until(lambda: not runs(child))


def test_a_part_that_ends_at_once_is_named_with_its_log(supervised):
    with pytest.raises(NeverReady, match=r"broken ended at once: see .*broken\.log"):
        supervised.start(python("fine", SLEEP), python("broken", "raise SystemExit(3)", ready=lambda: False))


def test_a_part_that_never_answers_is_named(supervised):
    with pytest.raises(NeverReady, match=r"^mute did not answer within 0 s"):
        supervised.start(python("fine", SLEEP), python("mute", SLEEP, ready=lambda: False), within_s=0.2)


def test_a_program_that_is_not_there_leaves_no_other_running(tmp_path):
    made = Supervisor(tmp_path / "logs", os.environ)
    with pytest.raises(FileNotFoundError):
        made.start(python("fine", SLEEP), Part("missing", [str(tmp_path / "nothing")]))
    pid = made.pids()["fine"]
    made.stop()
    assert not psutil.pid_exists(pid)


def test_each_part_has_its_log_and_its_own_environment(supervised, tmp_path):
    code = "import os; print(os.environ['WHO'])"
    supervised.start(*(python(name, f"{code}; {SLEEP}", env={"WHO": name}) for name in ("one", "other")))
    wait_until(lambda: (tmp_path / "logs" / "other.log").read_text())
    wait_until(lambda: (tmp_path / "logs" / "one.log").read_text() == "one\n")


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_is_left_after_ctrl_c_nor_after_a_kill(tmp_path, end):
    """A part that will not stop is killed with its child; where we are killed ourselves, Linux kills our parts."""
    stack = subprocess.Popen([sys.executable, "-c", STACK, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE)
    everybody = []
    try:
        assert stack.stdout.readline() == b"started\n"
        main = psutil.Process(stack.pid)
        wait_until(lambda: len(main.children(recursive=True)) == 3)
        parts, everybody = main.children(), main.children(recursive=True)
        stack.send_signal(end)
        assert stack.wait(60) == (-signal.SIGKILL if end == signal.SIGKILL else 0)
        wait_until(lambda: not any(runs(p) for p in (parts if end == signal.SIGKILL else everybody)))
    finally:
        for left in (stack, *everybody):
            with contextlib.suppress(psutil.NoSuchProcess):
                left.kill()
