"""A runbook as people follow it: the steps that a recovery runs, with what a person types, sees and takes back. Pure data and texts.

The steps come from the engine (`engine/handbook`); here is only what is the same for every step of a phase.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Instruction:
    """One step. `within` is how long it may take, in seconds; `together` that it goes on at once with the one before."""

    name: str
    phase: str
    why: str
    within: float
    command: str
    tell: str
    undo: str
    together: bool = False


@dataclass(frozen=True)
class Book:
    """The runbook of one component."""

    component: str
    title: str
    when: str
    instructions: tuple[Instruction, ...]


@dataclass(frozen=True)
class Guide:
    """What a person does in a phase: `command` by hand, how to tell that it worked, how to take it back."""

    command: str
    tell: str
    undo: str


STOPS = {
    "mongodb": "systemctl stop mongod   # on every host of it that still answers",
    "redis": "systemctl stop redis   # on every host of it that still answers",
    "files": "systemctl stop seaweedfs   # or deny writes by the bucket policy, where the storage is a service",
}
"""What fences a store by hand."""

NOTHING = "Nothing to take back: it only looks."

GUIDES: Mapping[str, Guide] = {
    "detect": Guide(
        "drplatform platform status",
        "Five probes in a row fail; users of {store} say the same. One failed probe may be chance.",
        NOTHING,
    ),
    "decide": Guide(
        "drplatform backups map {store}\ndrplatform backups operations {store} --around 2026-01-31T12:00:00Z",
        "You can name the recovery point, and how many seconds of writes it costs; both are written down with your name.",
        "Choose another point; nothing was changed yet.",
    ),
    "fence": Guide(
        "{stop}",
        "Nothing of the old {store} listens: its public name refuses connections, so no write can go where it would be lost.",
        "Start the old servers again, as long as nothing was published. Their disks are kept.",
    ),
    "provision": Guide(
        "# start new, empty servers of {store} from your deployment, reachable by you alone\n"
        "# and name them in the drplatform.yaml that the restore uses",
        "The new servers answer at their private address, and are empty.",
        "Remove the new servers.",
    ),
    "restart": Guide(
        "# start the old servers of {store} again, with the disks that they had",
        "They run, and their users are served: old data can be read, and new writes are acknowledged.",
        "Stop them again. A server that does not come up, or comes up empty, has lost its disk: then recover its store from its backup.",
    ),
    "restore": Guide(
        "drplatform backups restore {store} --config new-servers.yaml   # --to POSITION for a moment before the latest",
        "The command ends with 0 and names the point it reached; it refuses a backup of which a byte is wrong.",
        "Remove the new servers and begin again with empty ones; the backups were only read.",
    ),
    "verify": Guide(
        "drplatform backups verify --all",
        "The server's own check of its structures finds nothing, and old data can be read.",
        NOTHING,
    ),
    "promote": Guide(
        "# make the surviving region's servers of {store} the ones that accept writes",
        "Exactly one server accepts writes, and it is the one you meant.",
        "Hand over in the other direction, as planned; never by starting the lost servers.",
    ),
    "switch": Guide(
        "# point the public name of {store} to the new servers",
        "Users read what was written before and have new writes acknowledged, through the public name, for half a second without a failure.",
        "Point the name back, only as long as no user has written to the new servers.",
    ),
    "rejoin": Guide(
        "# bring the other region's servers of {store} back, emptied, as replicas of the new ones",
        "The replicas report that they are in sync. Until then one more failure is an outage.",
        "Stop the replicas; users are not touched.",
    ),
    "protect": Guide(
        "drplatform backups take {store} {base}",
        "`drplatform backups list` shows the new backup. A restore begins a new history, which no earlier backup covers.",
        "Nothing to take back: a backup more does no harm.",
    ),
}
"""By phase of a step."""

OF_CONFIGURATION: Mapping[str, Guide] = {
    "detect": Guide(
        "drplatform configuration diff BACKUP   # the last one, of `drplatform backups list`",
        "The difference from the last backup names what nobody meant to change; of secrets only that they changed.",
        NOTHING,
    ),
    "decide": Guide(
        "drplatform backups list",
        "You can name the backup, and what was changed on purpose since it was taken.",
        "Choose another; nothing was changed yet.",
    ),
    "restore": Guide(
        "drplatform backups restore configuration --config beside.yaml   # a directory that nothing reads yet",
        "The command ends with 0; the directory beside holds manifests, environment and secrets.",
        "Remove the directory beside.",
    ),
    "verify": Guide("drplatform configuration diff BACKUP --config beside.yaml", "Nothing differs from the backup.", NOTHING),
    "switch": Guide(
        "mv configuration configuration.before && mv configuration.restored configuration",
        "What reads the configuration is well, and can log in.",
        "Move the old one back: it was kept beside.",
    ),
}
"""The same, for a directory of configuration."""

OF_SERVICES: Mapping[str, Guide] = {
    "services": Guide(
        "kubectl -n drplatform rollout status deployment/SERVICE   # or start it by hand on its host",
        "The service says of itself that it is well, and that it reaches each thing it depends on (/health, /ready).",
        "Stop the service; it keeps nothing of its own.",
    ),
    "verify": Guide(
        "# upload a file through the gateway, and wait for its PDF",
        "The upload becomes a PDF, and what was uploaded before can still be read.",
        "Delete what was uploaded as a test.",
    ),
    "sign-off": Guide(
        "# look at critical functionality yourself: an upload, its document and its PDF",
        "You have seen it work; your name and the time are written down.",
        NOTHING,
    ),
}
"""The same, for services."""

OF_CLUSTER: Mapping[str, Guide] = {
    "detect": Guide(
        "drplatform configuration diff BACKUP --config cluster.yaml",
        "The difference from the last backup names the objects that are gone or changed.",
        NOTHING,
    ),
    "decide": Guide("drplatform backups list", "You can name the backup.", "Choose another; nothing was changed yet."),
    "restore": Guide(
        "drplatform backups restore kubernetes --config cluster.yaml",
        "The command ends with 0; what the server refused is listed, and each of these has a reason.",
        "Delete what was applied; applying it again changes nothing.",
    ),
    "verify": Guide(
        "drplatform configuration check BACKUP --config cluster.yaml\ndrplatform configuration health --config cluster.yaml",
        "Nothing differs from the backup without a reason; nodes, system pods, API, name service and storage classes are well.",
        NOTHING,
    ),
}
"""The same, for a cluster."""

OF_REGIONS: Mapping[str, Guide] = {
    "detect": Guide(
        "drplatform failover status",
        "Probes of the region fail, five in a row and from more than one place; or, for a planned move, the other region is in step.",
        NOTHING,
    ),
    "decide": Guide(
        "drplatform failover status",
        "What a failover now would cost each store, in seconds of writes, is known and approved; your name and the time are written down.",
        "Do not go on; nothing was changed yet.",
    ),
    "fence": Guide(
        "drplatform failover start --to secondary   # does this and all that follows; cut off: drplatform failover resume",
        "Nothing in the region that is left accepts a write: its servers and services are stopped, or cut off for good.",
        "Start the old servers again, as long as nothing was promoted.",
    ),
    "promote": Guide(
        "drplatform failover resume   # or, by hand: rs.reconfig on a surviving member, forced; REPLICAOF NO ONE",
        "Exactly one server of the store accepts writes, and it is in the region that takes over.",
        "Hand over in the other direction, as planned (drplatform failover switchover); never by starting the lost servers.",
    ),
    "switch": Guide(
        "drplatform failover resume   # or, by hand: nsupdate -k key, or your provider's console",
        "The name server itself gives the new addresses; clients follow within the time to live.",
        "Point the name back, only as long as no user has written to the new region.",
    ),
    "verify": Guide(
        "drplatform failover status",
        "Users read what was acknowledged before and have new writes acknowledged, through the public names.",
        NOTHING,
    ),
    "rejoin": Guide(
        "drplatform failover rejoin primary",
        "What the region alone had is saved as a backup and counted; its servers follow, and report that they are in sync.",
        "Stop the servers of the region again; users are not touched.",
    ),
    **{phase: OF_SERVICES[phase] for phase in ("services", "sign-off")},
}
"""The same, for a move between regions."""

ELSE = Guide("# see the name of the step", "The step's own condition holds.", "Not known; ask before you do it.")


def instruction(name: str, phase: str, why: str, within: float, store: str, together: bool = False) -> Instruction:
    """The step with what a person needs for it."""
    guide = {"configuration": OF_CONFIGURATION, "services": OF_SERVICES, "cluster": OF_CLUSTER, "regions": OF_REGIONS}.get(
        store, GUIDES
    ).get(phase, ELSE)
    words = {
        "store": store,
        "stop": STOPS.get(store, f"# stop every server of {store}"),
        "base": "snapshot" if store == "redis" else "full",
    }
    return Instruction(
        name, phase, why, within, guide.command.format(**words), guide.tell.format(**words), guide.undo.format(**words), together
    )
