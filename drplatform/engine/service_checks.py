"""Checks of services after a recovery: healthy and connected, end to end, and no reference between the stores that leads nowhere.

Each is shown a planted defect in the same run.
"""

from collections.abc import Mapping
from contextlib import closing

from drplatform.engine import services
from drplatform.engine.kit import Kit
from drplatform.model import errors, policy, ports, references
from drplatform.model.services import GATEWAY, Application
from drplatform.model.verdict import Check, Verdict, check

NOWHERE = ports.Address("127.255.255.254", 9)
"""Nothing listens there: the planted defect of a service that is not up."""
HEALTHY, END_TO_END, DANGLING = "services", "end to end", "references"


def parts(kit: Kit, region: str) -> dict[str, tuple[Check, ...]]:
    """By judgement. Changes nothing that stays: what an end-to-end test makes, it removes."""
    with closing(services.application(kit)) as users:
        return {
            HEALTHY: tuple(_healthy(kit, service, region) for service in kit.policy.services),
            END_TO_END: (_end_to_end(kit, users, region),),
            DANGLING: (_dangling(users),),
        }


def _healthy(kit: Kit, service: policy.Service, region: str) -> Check:
    def broken(at: ports.Address) -> list[str]:
        return services.troubles(kit, service, at)

    name = f"the service {service.name} is healthy and reaches what it depends on"
    at = services.address(kit, region, service.name)
    return check(name, broken, at, NOWHERE, f"it is well, and says so of {', '.join(service.depends_on)}")


def _end_to_end(kit: Kit, users: Application, region: str) -> Check:
    name = "an upload becomes a PDF"
    try:
        made = users.round_trip(services.address(kit, region, GATEWAY))
    except (errors.StoreError, errors.DeadlineExceeded) as error:
        return Check(name, Verdict.FAILED, str(error))
    cut = made[: len(made) // 2]
    return check(name, users.pdf_defects, made, cut, f"a new upload came back through the gateway as a PDF of {len(made)} bytes")


def _dangling(users: Application) -> Check:
    name = "no reference between the stores dangles"
    try:
        found = users.references()
    except errors.StoreError as error:
        return Check(name, Verdict.INCONCLUSIVE, str(error))
    clean = references.dangling(found)
    caught = all(_one_more(clean, references.dangling(planted)) for planted in references.planted(found))
    if words := clean.words():
        return Check(name, Verdict.FAILED, "; ".join(words), caught)
    if not found.documents:
        return Check(name, Verdict.INCONCLUSIVE, "there is no document whose references could be followed", caught)
    counts = f"{len(found.documents)} documents, {len(found.cached)} cached copies, {len(found.jobs)} jobs"
    return Check(name, Verdict.PASSED, f"all references of {counts} lead to what they name", caught)


def _one_more(before: references.Dangling, after: references.Dangling) -> bool:
    kinds: Mapping[str, tuple[str, ...]] = vars(before)
    return after.count == before.count + 1 and sum(len(getattr(after, k)) > len(ids) for k, ids in kinds.items()) == 1
