from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from rayflow.checkpoint.file_store import FileStore
from rayflow.core.errors import CheckpointStoreFailed, DiskFull, InvalidSetting

CREATE = """
import sys
from rayflow.checkpoint.file_store import FileStore
from rayflow.core.errors import ObjectExists
store = FileStore(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
try:
    store.create("manifests/1", sys.argv[2].encode() * 100_000)
    print("created")
except ObjectExists:
    print("refused")
"""

DIE_IN_SYNC = """
import os, signal, sys
from rayflow.checkpoint.file_store import FileStore
store = FileStore(sys.argv[1])
store.put("a/whole", [b"1"])
os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
store.put("a/torn", [b"2" * 100_000])
"""


def python(code: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *arguments]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


def unfinished(folder: Path) -> list[Path]:
    return list((folder / ".unfinished").iterdir())


def test_opening_a_store_with_files_that_were_never_finished_leaves_no_descriptor_open(tmp_path: Path) -> None:
    (tmp_path / ".unfinished").mkdir()
    for number in range(20):
        (tmp_path / ".unfinished" / str(number)).touch()
    before = len(os.listdir("/proc/self/fd"))
    store = FileStore(f"file:{tmp_path}")
    store.put("a", [b"1"])
    assert unfinished(tmp_path) == []
    assert len(os.listdir("/proc/self/fd")) < before + 20


def test_of_several_processes_that_create_one_object_one_succeeds(tmp_path: Path) -> None:
    processes = [python(CREATE, f"file:{tmp_path}", str(i)) for i in range(4)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    answers = [process.communicate("go\n")[0].strip() for process in processes]
    assert sorted(answers) == ["created", "refused", "refused", "refused"]
    content = FileStore(f"file:{tmp_path}").get("manifests/1")
    assert content == b"%d" % answers.index("created") * 100_000


def test_what_a_killed_writer_left_is_no_object_and_is_cleaned_up_on_open(tmp_path: Path) -> None:
    process = python(DIE_IN_SYNC, f"file:{tmp_path}")
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert len(unfinished(tmp_path)) == 1
    store = FileStore(f"file:{tmp_path}")
    assert store.list("") == ["a/whole"]
    assert unfinished(tmp_path) == []


def test_opening_a_store_leaves_what_a_living_writer_is_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"file:{tmp_path}"
    writing, go_on = threading.Event(), threading.Event()
    fsync = os.fsync

    def held_fsync(descriptor: int) -> None:
        if threading.current_thread() is writer and not writing.is_set() and os.fstat(descriptor).st_size == 3:
            writing.set()
            go_on.wait(30)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", held_fsync)
    writer = threading.Thread(target=lambda: FileStore(uri).put("a", [b"one"]))
    writer.start()
    assert writing.wait(30)
    FileStore(uri)
    assert len(unfinished(tmp_path)) == 1
    go_on.set()
    writer.join()
    assert FileStore(uri).get("a") == b"one"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_named_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    store = FileStore(f"file:{tmp_path}/store")
    store.put("a", [b"1"])

    def full(descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        for write in (lambda: store.put("a", [b"2"]), lambda: store.create("b", b"2")):
            with pytest.raises(DiskFull, match="RF-4004"):
                write()
    assert (store.list(""), store.get("a"), unfinished(tmp_path / "store")) == (["a"], b"1", [])


def test_what_the_system_refuses_is_an_error_with_the_uri(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = FileStore(f"file:{tmp_path}/file")
    with pytest.raises(CheckpointStoreFailed, match=f"file:{tmp_path}/file: cannot write a"):
        store.put("a", [b"1"])


def test_an_object_is_synced_and_so_is_every_folder_above_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    fsync = os.fsync

    def recorded(descriptor: int) -> None:
        fsync(descriptor)
        synced.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")))

    monkeypatch.setattr(os, "fsync", recorded)
    root = tmp_path / "new" / "store"
    FileStore(f"file:{root}").put("a/b/c", [b"1"])
    first_file = next(i for i, path in enumerate(synced) if path.parent == root / ".unfinished")
    assert {tmp_path, root.parent, root} <= set(synced[:first_file])
    assert {root / "a" / "b", root / "a", root} <= set(synced[first_file:])


def test_deleting_the_last_object_of_a_folder_removes_the_folder(tmp_path: Path) -> None:
    store = FileStore(f"file:{tmp_path}/store")
    for name in ("epochs/1/a", "epochs/1/b", "epochs/2/a"):
        store.put(name, [b"1"])
    store.delete(["epochs/1/a"])
    assert (tmp_path / "store" / "epochs" / "1").is_dir()
    store.delete(["epochs/1/b"])
    assert [path.name for path in (tmp_path / "store" / "epochs").iterdir()] == ["2"]


def test_an_object_is_written_though_its_empty_folder_is_being_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`mkdir` finds the folder; before it has looked whether it is one, `delete` of another thread has removed it."""
    store = FileStore(f"file:{tmp_path}")
    folder = tmp_path / "published"
    folder.mkdir()
    removed: list[Path] = []
    is_dir = Path.is_dir

    def too_late(path: Path) -> bool:
        if path == folder and not removed:
            folder.rmdir()
            removed.append(folder)
        return is_dir(path)

    monkeypatch.setattr(Path, "is_dir", too_late)
    store.create("published/1", b"1")
    assert removed
    assert store.get("published/1") == b"1"


def test_a_relative_folder_is_that_of_the_moment_it_was_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = FileStore("file:relative/store")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    store.put("a", [b"1"])
    assert (tmp_path / "relative" / "store" / "a").read_bytes() == b"1"


def test_opening_a_store_to_read_makes_no_folder(tmp_path: Path) -> None:
    assert FileStore(f"file:{tmp_path}/store").list("") == []
    assert list(tmp_path.iterdir()) == []


def test_a_file_uri_with_three_slashes_is_an_absolute_path(tmp_path: Path) -> None:
    FileStore(f"file://{tmp_path}").put("a", [b"1"])
    assert (tmp_path / "a").read_bytes() == b"1"


@pytest.mark.parametrize("uri", ["file:", "file://host/path", "/path", "file:a\0b"])
def test_a_uri_that_names_no_folder_is_refused(uri: str) -> None:
    with pytest.raises(InvalidSetting):
        FileStore(uri)


def test_a_path_that_the_system_refuses_is_no_store() -> None:
    with pytest.raises(CheckpointStoreFailed, match="cannot open the store: File name too long"):
        FileStore("file:/tmp/" + "a" * 300)
