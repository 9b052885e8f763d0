"""The compose file: reachable from this machine alone, and without secrets."""

from __future__ import annotations

import re

from tests.cluster.files import CLUSTER, IMAGE, SECRET, compose, leaves, loaded


def test_every_port_is_bound_to_the_loopback() -> None:
    for name, service in compose()["services"].items():
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), (name, port)


def test_every_image_is_pinned_to_a_version() -> None:
    for service in compose()["services"].values():
        assert IMAGE.match(service["image"]), service["image"]


def test_secrets_come_from_the_environment_which_must_have_them() -> None:
    needed = []
    for way, value in leaves({"services": compose()["services"]}):
        if SECRET.search(way[-1]):
            assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", str(value)), way
            needed.append(way[-1])
    assert {"RAY_AUTH_TOKEN", "GF_SECURITY_ADMIN_PASSWORD"} <= set(needed)
    example = (CLUSTER.parent / ".env.example").read_text(encoding="utf-8")
    for name in re.findall(r"\$\{(\w+):\?", (CLUSTER / "compose.yaml").read_text(encoding="utf-8")):
        assert f"\n{name}=\n" in example


def test_containers_gain_no_rights() -> None:
    for name, service in compose()["services"].items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not service.get("privileged"), name


def test_the_nodes_of_ray_authenticate_and_share_the_checkpoints() -> None:
    services = compose()["services"]
    for name in ("ray-head", "ray-worker"):
        assert services[name]["environment"]["RAY_AUTH_MODE"] == "token"
        assert "checkpoints:/var/lib/rayflow/checkpoints" in services[name]["volumes"]
        assert services[name]["read_only"] is True
        if "--num-cpus=0" not in services[name]["command"]:
            assert any(
                each.startswith(services[name]["environment"]["RAYFLOW_STATE"]) for each in services[name]["volumes"]
            )


def test_what_is_mounted_exists_and_what_is_named_is_declared() -> None:
    content = compose()
    for service in content["services"].values():
        for volume in service.get("volumes", ()):
            source, *target = volume.split(":")
            if source.startswith("./"):
                assert (CLUSTER / source).exists(), source
            elif target:
                assert source in content["volumes"], source
        assert set(service["networks"]) <= content["networks"].keys()
        assert set(service.get("depends_on", ())) <= content["services"].keys()


def test_prometheus_and_grafana_find_each_other_and_the_nodes() -> None:
    services = compose()["services"]
    [job] = loaded("prometheus/prometheus.yml")["scrape_configs"]
    [found] = job["dns_sd_configs"]
    assert set(found["names"]) <= services.keys()
    for name in found["names"]:
        assert services[name]["environment"]["RAYFLOW_METRICS_PORT"] == str(found["port"])
    [source] = loaded("grafana/provisioning/datasources/prometheus.yaml")["datasources"]
    assert source["url"].split(":")[1].strip("/") in services
    [provider] = loaded("grafana/provisioning/dashboards/rayflow.yaml")["providers"]
    assert any(f":{provider['options']['path']}/" in volume for volume in services["grafana"]["volumes"])
