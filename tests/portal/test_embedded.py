"""What `make demo` says before it starts anything, and where its broker is."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from portal.embedded import servers
from portal.embedded.__main__ import _forget
from portal.embedded.preflight import NotReady, bind, check_folder, check_port, check_python

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def taken():
    """A port of loopback on which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def demo(**env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "portal.embedded"]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True, timeout=60)


def test_a_taken_port_ends_the_demo_with_one_sentence(taken, tmp_path):
    done = demo(PORT=str(taken), VAR_DIR=str(tmp_path / "var"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"Port {taken} cannot be used (Address already in use): choose another one with PORT=8001 make demo\n"
    )


def test_a_folder_that_cannot_be_written_ends_the_demo_with_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    done = demo(VAR_DIR=str(tmp_path / "file" / "var"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "VAR_DIR=" in done.stderr


@pytest.mark.parametrize("text", ["", "web", "0", "65536", "-1", "80.0"])
def test_what_is_no_port_is_said(text):
    with pytest.raises(NotReady, match="PORT=8001 make demo"):
        check_port(text)


def test_a_free_port_is_given_back_as_its_number():
    port = bind(0)
    assert check_port(str(port)) == port


def test_an_old_python_is_told_what_to_try():
    with pytest.raises(NotReady, match=r"needs Python 3\.11 or newer, this is 3\.10"):
        check_python((3, 10))


def test_a_folder_is_made(tmp_path):
    check_folder(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_the_broker_is_where_the_simulator_looks_unless_that_port_is_taken(taken, monkeypatch):
    monkeypatch.setattr(servers, "KAFKA_PORT", free := bind(0))
    assert servers.kafka()[1] == f"127.0.0.1:{free}"
    monkeypatch.setattr(servers, "KAFKA_PORT", taken)
    assert servers.kafka()[1].startswith("127.0.0.1:")
    assert servers.kafka()[1] != f"127.0.0.1:{taken}"


def test_a_home_where_the_broker_cannot_be_unpacked_is_named(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    with pytest.raises(NotReady, match=r"Cannot unpack the broker into .*\.calfkit .*HOME="):
        servers.kafka()


@pytest.mark.parametrize(("elsewhere", "left"), [(None, set()), ("postgres://somewhere/else", {"demo-password"})])
def test_forgetting_leaves_the_password_of_people_in_a_database_elsewhere(elsewhere, left, tmp_path, monkeypatch):
    monkeypatch.delenv("DATABASE_URL", raising=False)
    if elsewhere:
        monkeypatch.setenv("DATABASE_URL", elsewhere)
    for name in ("demo-password", "secret-key", "wellrange.sqlite3-wal"):
        (tmp_path / name).write_text("kept")
    (tmp_path / "lake" / "readings").mkdir(parents=True)
    _forget(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == left
