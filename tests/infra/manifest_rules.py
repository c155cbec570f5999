"""Every rule for what infra/k8s renders to."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.infra.manifests import Object
from tests.infra.pod_rules import (
    a_server_is_ready_once_it_has_scored,
    images_are_pinned,
    pods_have_no_rights,
    programs_are_probed_and_bounded,
    programs_that_listen_nowhere_show_a_sign,
)
from tests.infra.setting_rules import commands_exist, secrets_are_references, settings_are_known
from tests.infra.whole_rules import (
    names_lead_somewhere,
    schedules_are_those_of_the_definitions,
    traffic_is_allowed_where_it_must_be,
    what_answers_stays,
)

Rule = Callable[[list[Object]], Iterator[str]]
RULES: tuple[Rule, ...] = (
    pods_have_no_rights,
    images_are_pinned,
    programs_are_probed_and_bounded,
    secrets_are_references,
    settings_are_known,
    commands_exist,
    names_lead_somewhere,
    a_server_is_ready_once_it_has_scored,
    programs_that_listen_nowhere_show_a_sign,
    what_answers_stays,
    traffic_is_allowed_where_it_must_be,
    schedules_are_those_of_the_definitions,
)


def problems(objects: list[Object]) -> Iterator[str]:
    """What any rule says; one that cannot be asked because of another's problem is left out."""
    for rule in RULES:
        try:
            yield from rule(objects)
        except (KeyError, StopIteration) as error:
            yield f"{rule.__name__} cannot be asked: {error!r}"
