"""Where settings come from, which source wins, and what is said of a bad one."""

from pathlib import Path

import pytest

from rayflow.core.errors import InvalidSetting
from rayflow.core.settings import load_settings
from rayflow.core.settings_file import find_settings_file


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import os

    for name in list(os.environ):
        if name.startswith("RAYFLOW_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def write(text: str, folder: Path | None = None) -> None:
    ((folder or Path()) / "rayflow.toml").write_text(text)


def test_without_any_source_the_defaults_hold() -> None:
    settings = load_settings()
    assert (settings.broker, settings.state, settings.retain) == (None, Path("rayflow-data"), 3)


def test_a_flag_wins_over_set_over_the_environment_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    write("retain = 4")
    assert load_settings().retain == 4
    monkeypatch.setenv("RAYFLOW_RETAIN", "5")
    assert load_settings().retain == 5
    assert load_settings({}, {"retain": "6"}).retain == 6
    assert load_settings({"retain": None}).retain == 5
    assert load_settings({"retain": 7}).retain == 7


def test_the_file_is_found_above_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write('broker = "kafka://above:9092"')
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert find_settings_file() == tmp_path / "rayflow.toml"
    assert load_settings().broker == "kafka://above:9092"


def test_a_state_directory_in_the_file_is_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write('state = "data"')
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    assert load_settings().state == tmp_path / "data"
    assert load_settings({"state": "elsewhere"}).state == Path("elsewhere")
    monkeypatch.setenv("RAYFLOW_STATE", "of-environment")
    assert load_settings().state == Path("of-environment")


@pytest.mark.parametrize("text", ['security.protocol = "SSL"', '"security.protocol" = "SSL"'])
def test_kafka_settings_come_from_the_table_and_the_environment_together(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(f'[kafka]\n{text}\n"enable.idempotence" = true\n"linger.ms" = 5\n')
    monkeypatch.setenv("RAYFLOW_KAFKA_SASL_PASSWORD", "hidden")
    monkeypatch.setenv("RAYFLOW_KAFKA_LINGER_MS", "7")
    monkeypatch.setenv("RAYFLOW_KAFKA_SASL_USERNAME", "")
    settings = load_settings({}, {"kafka.client.id": "me"})
    assert settings.kafka == {
        "security.protocol": "SSL",
        "enable.idempotence": "true",
        "linger.ms": "7",
        "sasl.password": "hidden",
        "client.id": "me",
    }
    assert "hidden" not in repr(settings)


def test_what_is_no_setting_is_a_parameter_of_the_job_file(monkeypatch: pytest.MonkeyPatch) -> None:
    write("[parameters]\nlimit = 3\nlabel = 'x'")
    monkeypatch.setenv("RAYFLOW_SET_LIMIT", "4")
    assert load_settings().parameters == {"limit": "4", "label": "x"}
    assert load_settings({}, {"limit": "5"}).parameters == {"limit": "5", "label": "x"}


def test_durations_and_sizes_are_written_with_units() -> None:
    settings = load_settings({}, {"checkpoint-interval": "1.5s", "memory_limit": "64MiB"})
    assert (settings.checkpoint_interval, settings.memory_limit) == (1_500, 64 << 20)


def test_a_bad_value_is_refused_by_the_name_of_its_source(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidSetting, match="--retain: "):
        load_settings({"retain": 0})
    with pytest.raises(InvalidSetting, match="--set checkpoint_interval: not a duration with a unit"):
        load_settings({}, {"checkpoint-interval": "10"})
    write("checkpoint_interval = 10")
    with pytest.raises(InvalidSetting, match=r"checkpoint_interval in .*rayflow\.toml: not a duration with a unit"):
        load_settings()
    monkeypatch.setenv("RAYFLOW_METRICS_PORT", "99999")
    with pytest.raises(InvalidSetting, match="RAYFLOW_METRICS_PORT: "):
        load_settings({}, {"checkpoint_interval": "10s"})


def test_an_unknown_setting_in_the_file_is_refused_with_the_nearest_name() -> None:
    write("retian = 3")
    with pytest.raises(InvalidSetting, match=r"unknown setting retian in .*Did you mean retain\?"):
        load_settings()


def test_a_file_that_is_not_toml_is_refused() -> None:
    write("retain = [")
    with pytest.raises(InvalidSetting, match=r"rayflow\.toml is not TOML"):
        load_settings()


def test_a_variable_whose_name_is_nearly_a_settings_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYFLOW_TEST_KAFKA", "localhost:9092")
    monkeypatch.setenv("RAYFLOW_DEBUG", "1")
    load_settings()
    monkeypatch.setenv("RAYFLOW_CHECKPOINT", "s3:bucket")
    with pytest.raises(
        InvalidSetting, match=r"unknown setting RAYFLOW_CHECKPOINT\. Did you mean RAYFLOW_CHECKPOINTS\?"
    ):
        load_settings()


def test_the_state_of_the_file_lies_beside_it_also_when_the_variable_is_empty(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write('state = "here"')
    monkeypatch.setenv("RAYFLOW_STATE", "")
    assert load_settings().state == find_settings_file().parent / "here"


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYFLOW_CHECKPOINT_INTERVAL", "")
    assert load_settings().checkpoint_interval is None


def test_the_example_environment_names_every_setting_and_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    from rayflow.core.settings import Settings

    lines = (Path(__file__).parents[2] / ".env.example").read_text().splitlines()
    pairs = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    for name, value in pairs.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert settings.kafka["sasl.mechanism"] == "SCRAM-SHA-512"
    for name in Settings.model_fields.keys() - {"kafka", "parameters"}:
        assert f"RAYFLOW_{name.upper()}" in pairs
