"""Paths on a cluster: every process reads them from a directory of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from rayflow.cli.jobs.places import absolute_settings, absolute_uri
from rayflow.core.errors import InvalidConnector, InvalidSetting
from rayflow.core.settings import load_settings


def test_every_path_begins_at_the_root(own_folder: Path) -> None:
    given = {"broker": "embedded:log", "state": "here", "checkpoints": "file:kept"}
    settings = absolute_settings(load_settings(given, {}))
    assert settings.broker == f"embedded:{own_folder}/log"
    assert settings.state == own_folder / "here"
    assert settings.checkpoints == f"file:{own_folder}/kept"
    kafka = absolute_settings(load_settings({"broker": "kafka://a:1", "checkpoints": "s3:b/c"}, {}))
    assert (kafka.broker, kafka.checkpoints) == ("kafka://a:1", "s3:b/c")


def test_a_broker_that_is_not_known_is_refused_before_the_cluster_is_asked(own_folder: Path) -> None:
    with pytest.raises(InvalidConnector, match="mqtt"):
        absolute_settings(load_settings({"broker": "mqtt:x"}, {}))


def test_a_store_of_one_process_is_no_store_of_a_cluster() -> None:
    with pytest.raises(InvalidSetting):
        absolute_uri("memory:")


def test_a_folder_without_a_name_is_not_the_current_one() -> None:
    with pytest.raises(InvalidSetting, match="no path"):
        absolute_uri("file:")
