"""Whose rayflow.toml is read, and what none may contain."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from rayflow.core.errors import InvalidSetting
from rayflow.core.settings import load_settings
from rayflow.core.settings_file import refuse_other_owner
from rayflow.runtimes.ray.client import folder_of

GiveAway = Callable[[Path], None]


@pytest.fixture
def give_away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> GiveAway:
    """Make a path another user's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SUDO_UID", raising=False)

    def of_root(path: Path) -> None:
        os.chown(path, 12_345, -1, follow_symlinks=False)

    def of_a_user(_path: Path) -> None:
        mine = os.geteuid()
        monkeypatch.setattr(os, "geteuid", lambda: mine + 1)

    return of_root if os.geteuid() == 0 else of_a_user


def write(text: str, folder: Path) -> Path:
    file = folder / "rayflow.toml"
    file.write_text(text)
    return file


def test_a_file_of_another_user_above_the_working_directory_is_refused(
    give_away: GiveAway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write("retain = 4", tmp_path)
    mine = tmp_path / "mine"
    mine.mkdir()
    monkeypatch.chdir(mine)
    assert load_settings().retain == 4
    give_away(file)
    with pytest.raises(InvalidSetting, match=r"rayflow\.toml is a file of another user \(id \d+\)"):
        load_settings()
    monkeypatch.setenv("RAYFLOW_TRUSTED_FILE", str(tmp_path / "another.toml"))
    with pytest.raises(InvalidSetting, match="another user"):
        load_settings()
    monkeypatch.setenv("RAYFLOW_TRUSTED_FILE", str(file))
    assert load_settings().retain == 4


def owned_by(uid: int, found: os.stat_result) -> os.stat_result:
    return os.stat_result((*found[:4], uid, *found[5:10]))


def test_another_users_link_to_a_file_of_mine_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text("retain = 4")
    (tmp_path / "rayflow.toml").symlink_to("mine.toml")
    assert load_settings().retain == 4
    monkeypatch.setattr(Path, "lstat", lambda path: owned_by(12_345, os.lstat(path)))
    with pytest.raises(InvalidSetting, match="is a link of another user"):
        load_settings()


def test_a_file_of_root_is_read_by_everybody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 12_345)
    refuse_other_owner(Path("/etc/passwd"))


def test_with_sudo_the_callers_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write("retain = 4", tmp_path)
    found = owned_by(12_345, file.stat())
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("SUDO_UID", "12345")
    refuse_other_owner(file, found)
    monkeypatch.setenv("SUDO_UID", "12346")
    with pytest.raises(InvalidSetting, match="another user"):
        refuse_other_owner(file, found)


@pytest.mark.parametrize("mark", ["rayflow.toml", "pyproject.toml"])
def test_another_users_file_does_not_decide_what_is_shipped_to_the_workers(
    mark: str, give_away: GiveAway, tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "job.py").write_text("")
    (tmp_path / mark).write_text("")
    assert folder_of(str(mine / "job.py")) == (tmp_path, "mine/job.py")
    give_away(tmp_path / mark)
    with pytest.raises(InvalidSetting, match="another user"):
        folder_of(str(mine / "job.py"))


@pytest.mark.parametrize(
    "line",
    [
        'plugin.library.paths = "/tmp/evil.so"',
        '"plugin.library.paths" = "/tmp/evil.so"',
        'plugin."library.paths" = "/tmp/evil.so"',
        'ssl.engine.location = "/tmp/evil.so"',
        'ssl.engine.id = "evil"',
        'ssl.providers = "/tmp/evil"',
        'sasl.kerberos.kinit.cmd = "touch /tmp/evil"',
        'sasl.kerberos.principal = "me; touch /tmp/evil"',
        'sasl.kerberos.keytab = "/etc/$(touch /tmp/evil)"',
        'sasl.kerberos.service.name = "kafka`touch /tmp/evil`"',
    ],
)
def test_a_setting_that_runs_code_is_refused_in_a_file_and_taken_from_elsewhere(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = write(f"[kafka]\n{line}\n", tmp_path)
    name, _, value = line.replace('"', "").partition(" = ")
    with pytest.raises(InvalidSetting) as refused:
        load_settings()
    assert refused.value.what.startswith(f"kafka.{name} in {file} is refused")
    file.unlink()
    monkeypatch.setenv(f"RAYFLOW_KAFKA_{name.upper().replace('.', '_')}", value)
    assert load_settings().kafka == {name: value}
    assert load_settings({}, {f"kafka.{name}": "/mine"}).kafka == {name: "/mine"}


def test_ordinary_kerberos_settings_may_stand_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(
        '[kafka]\nsasl.kerberos.principal = "job/host.example@REALM"\nsasl.kerberos.keytab = "/etc/a b.key"', tmp_path
    )
    assert load_settings().kafka["sasl.kerberos.principal"] == "job/host.example@REALM"


def test_a_file_that_is_not_utf_8_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rayflow.toml").write_bytes(b'broker = "\xff"')
    with pytest.raises(InvalidSetting, match=r"rayflow\.toml is not TOML"):
        load_settings()
