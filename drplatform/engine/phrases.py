"""The sentences of a drill and the activities that they ask for: one library for Gherkin features and for the command line.

A phrase is a pattern of the `parse` library (`{name}`), the keyword it is used with, and a function from the values found to an
activity. Knows nothing of pytest; `bdd/` registers each phrase as a step.
"""

import dataclasses
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import parse  # type: ignore[import-untyped]
import yaml
from gherkin.parser import Parser
from gherkin.pickles.compiler import Compiler

from drplatform.model import drill, errors, ports
from drplatform.model.backup import SCHEDULABLE, BackupKind

STORES = {
    "MongoDB": "mongodb",
    "Redis": "redis",
    "file storage": "files",
    "the configuration": "configuration",
    "the cluster": drill.CLUSTER,
}
"""How sentences name the stores."""

TARGETS = {
    "as it was just before the disaster": drill.BEFORE_FAULT,
    "as it was just before the drop": drill.BEFORE_DROP,
    "as of its latest backup": drill.LATEST,
    "as of one moment": drill.ONE_MOMENT,
}

FaultLookup = Callable[[str], Callable[..., ports.Fault]]
"""From the kind of a fault to its class. Raises SettingsError for an unknown one."""


@dataclass(frozen=True)
class Phrase:
    """`keyword` is given, when or then; `meaning` is for people who write features; `also` is the same for one thing instead of many."""

    keyword: str
    pattern: str
    build: Callable[..., drill.Activity]
    meaning: str
    also: tuple[str, ...] = ()

    @property
    def patterns(self) -> tuple[str, ...]:
        return (self.pattern, *self.also)


def stores_in(text: str) -> tuple[str, ...]:
    """`MongoDB, Redis and file storage` -> their names. Raises PlanError for an unknown one."""
    words = [word.strip() for word in re.split(r",| and ", text) if word.strip()]
    if unknown := [word for word in words if word not in STORES]:
        raise errors.PlanError(f"{unknown[0]!r} is no store; known are {', '.join(STORES)}")
    return tuple(STORES[word] for word in words)


def _targets_in(text: str) -> dict[str, str]:
    """`MongoDB as it was just before the drop and Redis as of its latest backup` -> target by store."""
    known = re.compile(rf"({'|'.join(STORES)}) ({'|'.join(TARGETS)})(?:, | and |$)")
    found = {STORES[m[1]]: TARGETS[m[2]] for m in known.finditer(text)}
    if not found or known.sub("", text).strip():
        raise errors.PlanError(f"{text!r} does not say what to recover; say e.g. 'Redis as of its latest backup'")
    return found


def _kind(text: str) -> BackupKind:
    if text not in SCHEDULABLE:
        raise errors.PlanError(f"{text!r} is no kind of backup; known are {', '.join(SCHEDULABLE)}")
    return BackupKind(text)


def _drop(store: str) -> drill.Activity:
    return drill.Inflict("collection-dropped", {"store": stores_in(store)[0]})


def _servers_lost(stores: str, region: str) -> drill.Activity:
    return drill.Inflict("servers-lost", {"region": region, "stores": stores_in(stores)})


def _parameters_in(text: str) -> dict[str, Any]:
    """`region: primary, share: 0.5` -> parameters, as in a flow of YAML."""
    try:
        found = yaml.safe_load("{" + text + "}")
    except yaml.YAMLError as error:
        raise errors.PlanError(f"{text!r} are no parameters; say e.g. 'region: primary, stores: [redis]'") from error
    return {str(name): tuple(value) if isinstance(value, list) else value for name, value in found.items()}


def _expect(judgement: str) -> Callable[..., drill.Activity]:
    return lambda: drill.Expect(judgement)


PHRASES = (
    Phrase("given", "the platform runs in two regions", drill.Steady, "All servers of both regions and the vault answer."),
    Phrase(
        "given",
        "the platform runs in two regions behind public names",
        lambda: drill.Steady(frozenset({drill.NAMES})),
        "As above; clients find Redis and file storage by names in a name server, which a failover points elsewhere.",
    ),
    Phrase(
        "given",
        "the platform runs in two regions with a witness, behind public names",
        lambda: drill.Steady(frozenset({drill.NAMES, drill.WITNESS})),
        "As above; MongoDB has one member in each region and one in a third place, so that any two are a majority.",
    ),
    Phrase(
        "given",
        "{store} is replicated to the {region} region",
        lambda store, region: drill.Replicate(stores_in(store)[0], region),
        "A follower of ours keeps the region's copy as the store is; waits until it has everything once.",
    ),
    Phrase(
        "given",
        "weakly acknowledged clients write to {stores}",
        lambda stores: drill.Write(stores_in(stores), weakly=True),
        "As below, but MongoDB acknowledges before a majority of its members has the write.",
    ),
    Phrase(
        "given",
        "{stores} hold {items:d} items of reference data",
        lambda stores, items: drill.Seed(stores_in(stores), items),
        "As below, with so many items: what is measured at several sizes is projected to the size of production.",
        ("{stores} holds {items:d} items of reference data",),
    ),
    Phrase(
        "given",
        "{stores} hold reference data",
        lambda stores: drill.Seed(stores_in(stores)),
        "The stores are filled with varied content that no client changes; its digests are taken.",
        ("{stores} holds reference data",),
    ),
    Phrase(
        "given",
        "clients write to {stores}",
        lambda stores: drill.Write(stores_in(stores)),
        "Concurrent clients write from here to the end; every acknowledgement goes to the ledger, and probers use the stores as users do.",
    ),
    Phrase(
        "given",
        "clients that never leave the {region} region write to {stores}",
        lambda region, stores: drill.Stay(stores_in(stores), region),
        "Further clients write to the servers of that region only, whoever serves, until it comes back; MongoDB's primary alone acknowledges.",
    ),
    Phrase(
        "given",
        "{store} has a {kind} backup",
        lambda store, kind: drill.BackUp(stores_in(store)[0], _kind(kind)),
        "A backup of this kind (full, incremental, snapshot) is taken to the vault, encrypted; an incremental one continues the last.",
        ("{store} has an {kind} backup",),
    ),
    Phrase(
        "given",
        "the log of {store} is captured continuously",
        lambda store: drill.Capture(stores_in(store)[0]),
        "The store's log is followed and sealed in the vault every second, from its latest full backup on.",
    ),
    Phrase(
        "given",
        "the services are deployed",
        drill.DeployServices,
        "The policy's services run where the platform serves, and hold uploads; elsewhere the critical ones are deployed, but inactive.",
    ),
    Phrase(
        "when",
        "the services are brought up in order",
        drill.BringUpServices,
        "The runbook: deployed and started in the order of dependencies, checked, tried by integration tests, signed off by a person.",
    ),
    Phrase(
        "when",
        "the services are brought up in order in the {region} region",
        drill.BringUpServices,
        "As above, in that region: after a failover, the services on standby there.",
    ),
    Phrase(
        "when",
        "clients have written {writes:d} more times to each store",
        drill.GoOnWriting,
        "Waits until every store has acknowledged so many further writes.",
    ),
    Phrase("when", "a collection of {store} is dropped by mistake", _drop, "The collection that the clients write to is dropped."),
    Phrase(
        "when",
        "the {stores} servers of the {region} region are killed and their disks are lost",
        _servers_lost,
        "The servers of these stores are killed and everything they stored in the region is erased.",
        ("the {stores} server of the {region} region is killed and its disk is lost",),
    ),
    Phrase(
        "when",
        "the {region} region is killed",
        lambda region: drill.Inflict("region-killed", {"region": region}),
        "Every server of the region is killed; disks are kept.",
    ),
    Phrase(
        "when",
        "the network to the {stores} servers of the {region} region is cut",
        lambda stores, region: drill.Inflict("network-cut", {"region": region, "stores": stores_in(stores)}),
        "The servers run on, but nobody reaches them: neither clients nor the other regions.",
        ("the network to the {stores} server of the {region} region is cut",),
    ),
    Phrase(
        "when",
        "the {region} region is parted from the others",
        lambda region: drill.Inflict("region-partitioned", {"region": region}),
        "Nothing passes between the region and the others, either way; its servers run on, and clients go on using them.",
    ),
    Phrase(
        "when",
        "the platform fails over to the {region} region",
        drill.FailOver,
        "The runbook: detect, decide, fence the lost region, promote every store, point the names, see users served.",
    ),
    Phrase(
        "when",
        "the platform is switched over to the {region} region as planned",
        drill.SwitchOver,
        "Every store is handed over without losing a write, the names are pointed, the old region follows.",
    ),
    Phrase(
        "when",
        "the {region} region comes back as a follower",
        drill.Rejoin,
        "What the region alone had is found and saved to the vault; then it is emptied and brought into step.",
    ),
    Phrase(
        "when",
        "the fault {fault} happens",
        lambda fault: drill.Inflict(fault, {}),
        "Any fault of the catalogue (`drplatform faults list`), as it is by default.",
    ),
    Phrase(
        "when",
        "the fault {fault} happens with {parameters}",
        lambda fault, parameters: drill.Inflict(fault, _parameters_in(parameters)),
        "Any fault of the catalogue, with parameters: `the fault server-killed happens with stores: [redis], count: 1`.",
    ),
    Phrase(
        "then",
        "the damage of the backups of {store} is noticed",
        lambda store: drill.NoticeDamage(stores_in(store)[0]),
        "A look at the vault, before anything is recovered from it, tells that the backups are not as they were left.",
    ),
    Phrase(
        "when",
        "the key of the backups is lost and {needed:d} of {holders:d} holders bring it back",
        lambda needed, holders: drill.LoseKey(needed, holders),
        "The private key is split; one holder fewer has nothing, no backup opens without it, and every backup opens with the key put together again.",
    ),
    Phrase("when", "the disaster is over", drill.Heal, "Every fault is healed, as far as it can be; what was destroyed is the recovery's."),
    Phrase(
        "when",
        "recovery from backups brings back {targets}",
        lambda targets: drill.Recover(_targets_in(targets)),
        "The runbook recovers each store into new servers of the primary region, from the vault alone.",
    ),
    Phrase(
        "when",
        "recovery from backups is killed half-way, begun again, and brings back {targets}",
        lambda targets: drill.Recover(_targets_in(targets), killed=True),
        "As above; each restore is first begun by a process that is killed (SIGKILL) in the middle, and then gone on with.",
    ),
    Phrase(
        "when",
        "recovery from backups hangs at {phase}, is begun again, and brings back {targets}",
        lambda phase, targets: drill.Recover(_targets_in(targets), hung=phase),
        f"As above; the steps of a phase ({', '.join(drill.HANGS)}) first hang, are given up, and begun again; a restore hangs in the middle (SIGSTOP).",
    ),
    Phrase(
        "when",
        "the configuration is restored from its latest backup",
        drill.RestoreConfiguration,
        "The runbook restores the configuration beside, compares it with its backup, and puts it in its place.",
    ),
    Phrase(
        "when",
        "the namespace of the cluster is deleted",
        lambda: drill.Inflict("namespace-deleted", {"store": drill.CLUSTER}),
        "A person deletes a namespace of the Kubernetes cluster, and with it everything in it.",
    ),
    Phrase(
        "when",
        "the cluster is restored from its latest backup",
        drill.RestoreCluster,
        "The runbook restores the objects in the order of their dependencies, compares them with the backup, and asks for the cluster's health.",
    ),
    Phrase(
        "then",
        "the cluster is healthy and as in its backup",
        _expect("cluster"),
        "Cluster and backup have no unexplained difference, secrets included; API, nodes, system pods, names and storage are as well as before.",
    ),
    Phrase(
        "when",
        "the damage of the backups of {store} is found before anything is restored",
        lambda store: drill.FindDamage(stores_in(store)[0]),
        "What a recovery looks at first (custody, checksums, seals, the chain) must name what a fault has done to the backups.",
    ),
    Phrase(
        "when",
        "the servers of {stores} in the {region} region are started again",
        lambda stores, region: drill.Restart(stores_in(stores), region),
        "Servers that were killed start on the disks that they have.",
        ("the server of {stores} in the {region} region is started again",),
    ),
    Phrase("then", "every store answers through its public name", _expect("answers"), "Probers see all stores working, sustained."),
    Phrase(
        "then",
        "the recovery time of each store meets its objective",
        _expect("rto"),
        "The upper bound of the measured recovery time is below the policy's target for the tier.",
    ),
    Phrase(
        "then",
        "the data loss of each store meets its objective",
        _expect("rpo"),
        "The upper bound of the measured loss is below the policy's target for the data class.",
    ),
    Phrase(
        "then",
        "every acknowledged write is accounted for",
        _expect("accounted"),
        "Ledger and stores are compared both ways: nothing phantom, mutated, duplicated or reordered, and each lost write is named.",
    ),
    Phrase(
        "then",
        "nothing acknowledged before the recovery point is missing",
        _expect("nothing before"),
        "Every write acknowledged before the point that was recovered to is there.",
    ),
    Phrase("then", "the reference data is unchanged", _expect("reference"), "The digests of the reference content are what they were."),
    Phrase(
        "then",
        "exactly one server of each replicated store accepts writes",
        _expect("one primary"),
        "All servers of a store, in all regions, are asked for their roles.",
    ),
    Phrase(
        "then",
        "what the lost region alone had was saved",
        _expect("saved"),
        "Each acknowledged write that is gone was found on the lost region's disks, or named as gone there too; the backups of it are whole.",
    ),
    Phrase(
        "then",
        "nothing acknowledged after the change of regions is missing",
        _expect("kept"),
        "Writes acknowledged since the service was back are all there: nothing was lost on the way back.",
    ),
    Phrase(
        "then",
        "no write was acknowledged where the platform had been fenced",
        _expect("fenced"),
        "Clients that stayed wrote to the region that was cut off, tried on after it was fenced, and no write of theirs was acknowledged then.",
    ),
    Phrase(
        "then",
        "what was lost on failback is exactly what the lost region alone had",
        _expect("failback"),
        "The acknowledged writes that are gone, those of after the disaster counted apart, are the very ones that were found on its disks.",
    ),
    Phrase(
        "then",
        "the backups are kept for as long as the policy says",
        _expect("retention"),
        "What prunes the vault would keep each backup in it until its retention is over, and let it go after. Nothing is deleted.",
    ),
    Phrase(
        "then",
        "each identity may do its work at the vault and nothing else",
        _expect("access"),
        "Writer, reader, pruner and auditor are made at the vault's server and try what they may and may not do; the owner looks at what came of it.",
    ),
    Phrase(
        "then",
        "each alert is raised by its cause and ends with its cure",
        _expect("alerts"),
        "The agent's watch is shown failed, missed, odd and damaged backups, old recovery points and late recoveries: told once each, and told to be over.",
    ),
    Phrase(
        "then",
        "the stores hold one consistent moment",
        _expect("consistent"),
        "No write is there that may refer to one lost in another store; by how many seconds the stores are apart is measured.",
    ),
    Phrase(
        "then",
        "every service is healthy and reaches what it depends on",
        _expect("services"),
        "Each service is asked for its health, and for each thing that the policy says it depends on.",
    ),
    Phrase("then", "an upload becomes a PDF", _expect("end to end"), "End to end through the gateway; what the test made is removed."),
    Phrase(
        "then",
        "no reference between the stores dangles",
        _expect("references"),
        "Uploads, documents, cached copies, jobs and PDFs of the services are followed across the stores.",
    ),
    Phrase("then", "the backups used were whole", _expect("backups"), "Every object of every backup used matched its manifest."),
)


def activity(text: str) -> drill.Activity:
    """What the sentence asks for. Raises PlanError for a sentence that no phrase knows."""
    for phrase in PHRASES:
        for pattern in phrase.patterns:
            if found := parse.parse(pattern, text, case_sensitive=True):
                return dataclasses.replace(phrase.build(**found.named), text=text)
    raise errors.PlanError(f"no phrase knows the sentence {text!r}; `drplatform steps` lists the ones there are")


def scenario(feature: str, name: str, tags: Iterable[str], sentences: Iterable[str], source: str, faults: FaultLookup) -> drill.Scenario:
    """The scenario that the sentences make. Raises PlanError listing every sentence that is not understood."""
    activities, problems = [], []
    for sentence in sentences:
        try:
            activities.append(_with_needs(activity(sentence), faults))
        except errors.PlanError as error:
            problems.extend(error.problems)
    if problems:
        raise errors.PlanError(problems)
    return drill.Scenario(feature, name, tuple(dict.fromkeys(tag.lstrip("@") for tag in tags)), tuple(activities), source)


def read_feature(text: str, source: str, faults: FaultLookup) -> tuple[drill.Scenario, ...]:
    """All scenarios of a Gherkin document, outlines expanded. Raises PlanError when it is not understood."""
    try:
        document = Parser().parse(text)
        pickles = Compiler().compile({**document, "uri": source})
    except Exception as error:
        raise errors.PlanError(f"{source} is no Gherkin feature: {' '.join(str(error).split())}") from error
    feature = document["feature"]["name"] if document.get("feature") else ""
    return tuple(
        scenario(feature, p["name"], [t["name"] for t in p["tags"]], [s["text"] for s in p["steps"]], source, faults) for p in pickles
    )


def with_needs(activities: Iterable[drill.Activity], faults: FaultLookup) -> tuple[drill.Activity, ...]:
    """The activities, each disaster with what its fault needs and whom it affects. Raises PlanError for a fault that cannot be made."""
    return tuple(_with_needs(activity, faults) for activity in activities)


def _with_needs(found: drill.Activity, faults: FaultLookup) -> drill.Activity:
    if not isinstance(found, drill.Inflict):
        return found
    try:
        fault = faults(found.fault)(**found.parameters)
    except TypeError as error:
        raise errors.PlanError(f"the fault {found.fault} does not take these parameters: {error}") from error
    return dataclasses.replace(found, requires=fault.needs(), affects=fault.affects())
