"""infra/k8s as kubectl renders it: Kubernetes knows every field, the rules hold, and what it names is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from adfeast.feast_ext.repo import declared
from adfeast.settings import ROOT, Settings
from cli.main import main
from infra.kubernetes_schedules import cron
from infra.terraform_plan import placeless
from infra.terraform_schedules import schedules as wanted
from tests.infra import manifests
from tests.infra.manifest_rules import problems
from tests.infra.manifests import (
    KUBERNETES,
    OVERLAYS,
    SOURCES,
    Object,
    of,
    program,
    programs,
    rendered,
    unknown_to_kubernetes,
)
from tests.infra.whole_rules import autoscalers_ask_for_what_is_shown

TERRAFORM = ROOT / "infra" / "terraform" / "modules"
# What the load balancer's controller brings, not Kubernetes: kind to the fields of its spec.
CUSTOM = {"TargetGroupBinding": {"serviceRef", "targetType", "targetGroupARN"}}


@pytest.fixture(scope="module", params=OVERLAYS)
def objects(request: pytest.FixtureRequest, manifest_tree: Path) -> list[Object]:
    return rendered(manifest_tree, request.param)


def test_kubernetes_knows_every_field(objects: list[Object]) -> None:
    assert unknown_to_kubernetes([o for o in objects if o["kind"] not in CUSTOM]) == []
    assert len(objects) > 40


def test_custom_objects_have_only_known_fields(objects: list[Object]) -> None:
    for o in objects:
        if o["kind"] in CUSTOM:
            assert o["spec"].keys() == CUSTOM[o["kind"]]
            assert o["apiVersion"] == "elbv2.k8s.aws/v1beta1"


def test_the_rules_hold(objects: list[Object]) -> None:
    assert list(problems(objects)) == []


def test_all_is_in_the_namespace_that_roles_are_given_in(objects: list[Object]) -> None:
    variables = (TERRAFORM / "serving" / "variables.tf").read_text()
    namespace = re.search(r'variable "namespace" \{.*?default\s+= "(\w+)"', variables, re.DOTALL)
    assert namespace
    own = {o["metadata"].get("namespace") for o in objects if o["kind"] not in ("Namespace", "PriorityClass")}
    assert own == {namespace[1]}


def test_pods_bear_the_accounts_that_terraform_gives_roles(objects: list[Object]) -> None:
    table = (TERRAFORM / "iam" / "programs.tf").read_text()
    pods = set(re.findall(r'^    ([\w-]+) = \{\s*runs\s*= "pod"', table, re.MULTILINE))
    assert pods == {"server", "writer", "control", "triton", "mlflow"}
    used = {p.pod["serviceAccountName"] for p in programs(objects)}
    assert pods <= used
    # Scheduled commands are tasks there, whose roles pods may take too; the proxy needs none.
    tasks = set(re.findall(r'^    ([\w-]+) = \{\s*runs\s*= "task"', table, re.MULTILINE))
    assert {"batch", "training"} <= tasks
    assert used - pods == {"proxy", "batch", "training"}


def test_terraform_and_the_manifests_name_one_version_and_one_port(objects: list[Object]) -> None:
    assert f'default     = "{KUBERNETES}"' in (TERRAFORM / "serving" / "variables.tf").read_text()
    port = re.search(r"grpc = (\d+)", (TERRAFORM / "serving" / "load_balancer.tf").read_text())
    assert port
    proxy = program(objects, "proxy")
    assert int(port[1]) in {q["containerPort"] for q in proxy.containers[0]["ports"]}
    cidr = re.search(r'default\s+= "([\d./]+)"', (TERRAFORM / "network" / "variables.tf").read_text())
    assert cidr
    assert cidr[1] in (SOURCES / "base" / "network.yaml").read_text()


def test_every_schedule_of_the_definitions_is_a_cron_job(objects: list[Object]) -> None:
    settings = placeless(Settings())
    plan = wanted(declared(settings), settings.feature_service)
    jobs = {o["metadata"]["name"]: o["spec"] for o in of(objects, "CronJob")}
    assert jobs.keys() == {name.replace("_", "-") for name in plan}
    for name, schedule in plan.items():
        pod = jobs[name.replace("_", "-")]["jobTemplate"]["spec"]["template"]["spec"]
        assert pod["containers"][0]["command"] == schedule["command"]
        assert pod["serviceAccountName"] == schedule["role"]


def test_the_command_prints_the_cron_jobs() -> None:
    said = CliRunner().invoke(main, ["plan", "--format", "kubernetes"])
    assert said.exit_code == 0, said.output
    assert list(yaml.safe_load_all(said.stdout)) == manifests.schedules()


@pytest.mark.parametrize("rate", [1, 2, 7, 15, 30, 60, 180, 1440])
def test_a_schedule_comes_as_often_as_it_is_asked_for(rate: int) -> None:
    minute, hour, *rest = cron(rate, 3).split()
    assert rest == ["*", "*", "*"]
    if rate < 60:
        assert (minute, hour) == (f"{3 % rate}-59/{rate}", "*")
    else:
        assert minute == "3"
        assert hour in ("*", f"*/{rate // 60}")


def test_autoscalers_ask_for_metrics_that_servers_show() -> None:
    assert list(autoscalers_ask_for_what_is_shown(SOURCES / "adapter.yaml")) == []


def test_every_file_of_the_manifests_is_rendered() -> None:
    used: set[Path] = set()
    for file in SOURCES.rglob("kustomization.yaml"):
        made = yaml.safe_load(file.read_text())
        names = [*made.get("resources", []), *made.get("components", [])]
        for generator in made.get("configMapGenerator", []):
            names += [*generator.get("files", []), *generator.get("envs", [])]
        used |= {(file.parent / name).resolve() for name in names} | {file}
    assert {f for f in _manifests() if f not in used} == {SOURCES / "adapter.yaml"}


def _manifests() -> Iterator[Path]:
    yield from (f for f in SOURCES.rglob("*.*") if f.suffix in (".yaml", ".env") and f.name != "cronjobs.yaml")


def test_the_tests_render_what_an_owner_would(manifest_tree: Path) -> None:
    """Only the CronJobs are added to the copy."""
    for file in _manifests():
        mine = (manifest_tree / file.relative_to(SOURCES)).read_text()
        assert mine.replace("  - ../../schedules\n", "") == file.read_text()
    assert manifests.schedules()
