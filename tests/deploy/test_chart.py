"""The Helm chart: rendered by Helm's own library, checked against Kubernetes' own schemas."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import helm_python as helm
import kubernetes_validate
import pytest
import yaml

from bioelx.channel import SERVICE
from bioelx.config import gather
from bioelx.errors import BioelxError
from bioelx.gate.check import EVALUATIONS
from bioelx.settings import ServerSettings
from bioelx_index.places import Places

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "bioelx"
KUBERNETES = ("1.30", kubernetes_validate.latest_version())
"""The oldest version that the chart is for, and the latest that there are schemas for."""

SECURE = {"tls": {"secretName": "cert"}, "tokens": {"secretName": "callers"}}
MUTUAL = {"tls": {"secretName": "cert", "clientCaSecretName": "ca"}}
OPEN = {"insecureWithoutTlsAndAuthentication": True}
FULL = {
    **SECURE,
    "tls": {"secretName": "cert", "clientCaSecretName": "ca"},
    "replicas": 3,
    "image": {"tag": "1-gpu", "pullSecrets": [{"name": "registry"}]},
    "releaseJob": {"enabled": True, "args": ["build", "--config", "x.toml"]},
    "releases": {"storageClass": "nfs", "size": "5Gi"},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "networkPolicy": {"enabled": True, "egress": [{"ports": [{"port": 4317}]}]},
    "podDisruptionBudget": {"maxUnavailable": "50%"},
    "settings": {"grace_seconds": 30.5, "limits": {"max_documents": 9}},
    "resources": {"limits": {"nvidia.com/gpu": 1}},
    "nodeSelector": {"gpu": "h200"},
    "tolerations": [{"key": "gpu", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "priorityClassName": "high",
    "podLabels": {"team": "nlp"},
    "podAnnotations": {"note": "x"},
    "service": {"annotations": {"note": "x"}},
    "serviceAccount": {"annotations": {"note": "x"}},
}
CASES = {"secure": SECURE, "mutual": MUTUAL, "open": OPEN, "full": FULL}


def render(values: dict[str, Any], revision: int = 1) -> dict[str, dict[str, Any]]:
    """All objects, by kind and name, as an installation named `lab` makes them."""
    files = helm.Chart.load(CHART).render(
        values, name="lab", namespace="nlp", revision=revision, is_install=True
    )
    objects = [
        each
        for name, content in files.items()
        if name.endswith(".yaml")
        for each in yaml.safe_load_all(content)
        if each
    ]
    found = {f"{each['kind']}/{each['metadata']['name']}": each for each in objects}
    assert len(found) == len(objects)
    return found


def settings_of(values: dict[str, Any]) -> str:
    """The server's file."""
    return str(render(values)["ConfigMap/lab-bioelx"]["data"]["bioelx.toml"])


def pod_of(deployment: dict[str, Any]) -> dict[str, Any]:
    return deployment["spec"]["template"]["spec"]


@pytest.fixture
def server() -> dict[str, Any]:
    """The pod of a server."""
    return pod_of(render(SECURE)["Deployment/lab-bioelx"])


@pytest.mark.parametrize("values", CASES.values(), ids=CASES)
def test_helm_finds_no_fault(values: dict[str, Any]) -> None:
    report = helm.lint(CHART, values, strict=True)
    # Severity 1 is a hint: that a chart may have an icon.
    assert [each for each in report["messages"] if each["severity"] > 1] == []
    assert not report["errors"]


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("values", CASES.values(), ids=CASES)
def test_every_object_is_what_kubernetes_takes(values: dict[str, Any], version: str) -> None:
    objects = render(values)
    assert len(objects) >= 7
    checked = 0
    for name, each in objects.items():
        if name.startswith("ServiceMonitor/"):  # the Prometheus operator's; see below
            continue
        kubernetes_validate.validate(each, version, strict=True)
        checked += 1
    assert checked >= 7


def test_the_validator_finds_a_fault() -> None:
    broken = render(SECURE)["Deployment/lab-bioelx"]
    pod_of(broken)["containers"][0]["livenessProbe"]["grpc"]["port"] = "health"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, KUBERNETES[-1], strict=True)


@pytest.mark.parametrize("values", CASES.values(), ids=CASES)
def test_the_server_takes_its_settings(values: dict[str, Any], tmp_path: Path) -> None:
    objects = render(values)
    file = tmp_path / "bioelx.toml"
    file.write_text(settings_of(values))
    settings = gather(ServerSettings, {}, file).settings
    pod = pod_of(objects["Deployment/lab-bioelx"])
    [container] = pod["containers"]
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    assert (settings.host, settings.port) == ("0.0.0.0", ports["grpc"])
    assert settings.health_address == f"0.0.0.0:{ports['health']}"
    assert settings.metrics_address == f"0.0.0.0:{ports['metrics']}"
    assert settings.insecure_without_tls_and_authentication == (values is OPEN)
    # What it names is mounted beside it.
    mounted = {
        item["path"]
        for source in pod["volumes"][0]["projected"]["sources"]
        for item in source.get("secret", {}).get("items", ())
    }
    named = (settings.tls_certificate, settings.tls_key, settings.tls_client_ca, settings.tokens)
    assert mounted == {str(path.relative_to(tmp_path)) for path in named if path}
    assert pod["terminationGracePeriodSeconds"] > settings.grace_seconds + 5


def test_probes_ask_the_health_port_and_tell_live_from_ready(server: dict[str, Any]) -> None:
    [container] = server["containers"]
    probes = {
        name: container[f"{name}Probe"]["grpc"] for name in ("startup", "liveness", "readiness")
    }
    assert {probe["port"] for probe in probes.values()} == {50052}
    assert probes["liveness"]["service"] == "live"
    assert probes["readiness"]["service"] == probes["startup"]["service"] == SERVICE


@pytest.mark.parametrize("name", ["Deployment/lab-bioelx", "Job/lab-bioelx-release-1"])
def test_no_container_has_rights(name: str) -> None:
    """Kubernetes' Pod Security Standard "restricted", and a root that cannot be written."""
    pod = pod_of(render(FULL)[name])
    assert pod["automountServiceAccountToken"] is False
    assert not any(pod.get(each) for each in ("hostNetwork", "hostPID", "hostIPC"))
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert "limits" in container["resources"]
    assert {kind for volume in pod["volumes"] for kind in set(volume) - {"name"}} <= {
        "projected",
        "persistentVolumeClaim",
        "emptyDir",
    }


def test_servers_read_releases_that_only_a_job_writes() -> None:
    objects = render(FULL)
    server, job = (
        pod_of(objects[n]) for n in ("Deployment/lab-bioelx", "Job/lab-bioelx-release-1")
    )
    claims = []
    for pod, read_only in ((server, True), (job, False)):
        [volume] = [each for each in pod["volumes"] if each["name"] == "releases"]
        [mount] = [
            each for each in pod["containers"][0]["volumeMounts"] if each["name"] == "releases"
        ]
        claims.append(volume["persistentVolumeClaim"]["claimName"])
        assert mount.get("readOnly", False) is read_only
        assert mount["mountPath"] == "/bioelx/releases"
    assert len(set(claims)) == 1
    assert f"PersistentVolumeClaim/{claims[0]}" in objects
    own = render({**SECURE, "releases": {"existingClaim": "mine"}})
    assert not any(name.startswith("PersistentVolumeClaim/") for name in own)
    assert "Job/lab-bioelx-release-2" in render(FULL, revision=2)


def test_the_job_may_write_where_builds_write() -> None:
    """All else of its root is read-only."""
    [container] = pod_of(render(FULL)["Job/lab-bioelx-release-1"])["containers"]
    writable = {Path(mount["mountPath"]) for mount in container["volumeMounts"]}
    places = Places(Path("/bioelx"))
    needed = {places.releases, places.cache, places.releases.parent / EVALUATIONS}
    assert needed | {Path("/tmp")} == writable


def test_an_update_takes_no_server_away_before_another_is_ready() -> None:
    objects = render(SECURE)
    deployment = objects["Deployment/lab-bioelx"]["spec"]
    assert deployment["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert objects["PodDisruptionBudget/lab-bioelx"]["spec"]["maxUnavailable"] == 1

    # Other settings make other servers, the same make none.
    def stamp(values: dict[str, Any]) -> str:
        template = render(values)["Deployment/lab-bioelx"]["spec"]["template"]
        return template["metadata"]["annotations"]["checksum/settings"]

    assert stamp(SECURE) == stamp({**SECURE, "replicas": 5})
    assert stamp(SECURE) != stamp({**SECURE, "settings": {"threads": 7}})


def test_selectors_select_servers_only() -> None:
    objects = render(FULL)
    labels = objects["Deployment/lab-bioelx"]["spec"]["template"]["metadata"]["labels"]
    of_job = objects["Job/lab-bioelx-release-1"]["spec"]["template"]["metadata"]["labels"]
    selectors = [
        objects["Service/lab-bioelx"]["spec"]["selector"],
        objects["Service/lab-bioelx-headless"]["spec"]["selector"],
        objects["PodDisruptionBudget/lab-bioelx"]["spec"]["selector"]["matchLabels"],
        objects["NetworkPolicy/lab-bioelx"]["spec"]["podSelector"]["matchLabels"],
    ]
    for selector in selectors:
        assert selector.items() <= labels.items()
        assert not selector.items() <= of_job.items()
    assert objects["Service/lab-bioelx-headless"]["spec"]["clusterIP"] == "None"
    monitor = objects["ServiceMonitor/lab-bioelx"]["spec"]
    headless = objects["Service/lab-bioelx-headless"]
    assert monitor["selector"]["matchLabels"].items() <= headless["metadata"]["labels"].items()
    names = {port["name"] for port in headless["spec"]["ports"]}
    assert {endpoint["port"] for endpoint in monitor["endpoints"]} <= names


def test_without_certificates_or_callers_nothing_is_rendered() -> None:
    for values in ({}, {"tls": SECURE["tls"]}, {"tokens": SECURE["tokens"]}):
        with pytest.raises(helm.HelmRenderError, match=r"name tls.secretName, and tokens"):
            render(values)
    with pytest.raises(helm.HelmRenderError, match="clientCaSecretName needs"):
        render({**OPEN, "tls": {"clientCaSecretName": "ca"}})


ADMIN = {"settings": {"admin": True}}


def test_admin_is_rendered_only_with_callers_who_can_have_the_role() -> None:
    assert "admin = true\n" in settings_of({**SECURE, **ADMIN})
    for values in (OPEN, MUTUAL):
        with pytest.raises(helm.HelmRenderError, match=r"settings.admin: only tokens.secretName"):
            render({**values, **ADMIN})
    with pytest.raises(helm.HelmRenderError, match=r"settings.admin: a server of one "):
        render({**SECURE, "settings": {"admin": True, "release": "x"}})


@pytest.mark.parametrize("values", [OPEN, MUTUAL], ids=["open", "mutual"])
def test_the_server_would_refuse_that_admin_too(values: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "bioelx.toml"
    file.write_text("admin = true\n" + settings_of(values))
    with pytest.raises(BioelxError, match=r"admin: .*only (with )?--tokens"):
        gather(ServerSettings, {}, file)


@pytest.mark.parametrize(
    "values",
    [
        {"replica": 3},
        {"replicas": 0},
        {"ports": {"grpc": 70_000}},
        {"tls": {"secret": "x"}},
        {"settings": {"port": 1}},
        {"image": {"pullPolicy": "Sometimes"}},
    ],
    ids=json.dumps,
)
def test_values_that_mean_nothing_are_refused(values: dict[str, Any]) -> None:
    chart = helm.Chart.load(CHART)
    chart.validate_schema(SECURE)
    with pytest.raises(helm.HelmValuesError):
        chart.validate_schema({**SECURE, **values})


def test_the_chart_is_of_this_version() -> None:
    import tomllib

    project = tomllib.loads((CHART.parents[2] / "pyproject.toml").read_text())["project"]
    assert helm.Chart.load(CHART).metadata["appVersion"] == project["version"]
