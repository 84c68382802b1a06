"""The policy's schedules as what runs them: a crontab, systemd units, or Kubernetes objects. Pure: text from a policy.

Only command lines are written that exist. Times are UTC everywhere. Sources: crontab(5) of cron with CRON_TZ (cronie; Debian's cron runs in the
machine's own zone), systemd.time(7) and systemd.timer(5), the batch/v1 and apps/v1 APIs of Kubernetes.
"""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from drplatform.model.backup import BackupKind
from drplatform.model.policy import CONTINUOUS, Policy

RETENTION_AT, VERIFY_AT = "30 4 * * *", "0 5 * * 0"
"""After the nights' backups. The policy does not say when."""

KEEP_AT = "50 * * * *"
"""After the hour's backups."""
_DAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")


@dataclass(frozen=True)
class Job:
    """One command of drplatform that runs at times (five cron fields in UTC), or all the time (`continuous`). `stores` are those it reads."""

    name: str
    schedule: str
    arguments: tuple[str, ...]
    about: str
    stores: tuple[str, ...] = ()

    @property
    def is_continuous(self) -> bool:
        return self.schedule == CONTINUOUS


@dataclass(frozen=True)
class Plan:
    """All jobs of a policy; `left_out` tells, in words, which rules no command carries out."""

    jobs: tuple[Job, ...]
    left_out: tuple[str, ...]


def plan(policy: Policy, kinds: AbstractSet[BackupKind], stores: AbstractSet[str] | None = None) -> Plan:
    """The jobs of the policy. `kinds` are those that `drplatform backups take` takes; `stores` those that are configured, all if not given."""
    jobs, left_out = list[Job](), list[str]()
    for rule in policy.backups:
        if stores is not None and rule.store not in stores:
            continue
        if rule.schedule == CONTINUOUS and rule.kind is BackupKind.LOG:
            jobs.append(Job(f"capture-{rule.store}", CONTINUOUS, ("capture", rule.store), f"continuous log of {rule.store}", (rule.store,)))
        elif rule.kind in kinds and rule.schedule != CONTINUOUS:
            arguments = ("backups", "take", rule.store, rule.kind.value)
            jobs.append(
                Job(
                    _unique(f"backup-{rule.store}-{rule.kind.value}", jobs),
                    rule.schedule,
                    arguments,
                    _about(rule.kind, rule.store),
                    (rule.store,),
                )
            )
        else:
            left_out.append(f"{rule.store}: {rule.kind.value} backups at {rule.schedule!r}")
    jobs.append(Job("retention", RETENTION_AT, ("backups", "prune", "--yes"), "what the policy lets go"))
    jobs.append(Job("evidence", KEEP_AT, ("evidence", "keep"), "audit log and signed evidence into the vault"))
    jobs.append(Job("verify", VERIFY_AT, ("backups", "verify", "--all"), "whether every backup is whole"))
    return Plan(tuple(jobs), tuple(left_out))


def _about(kind: BackupKind, store: str) -> str:
    return f"{kind.value} backup of {store}"


def _unique(name: str, jobs: Iterable[Job]) -> str:
    taken = {job.name for job in jobs}
    number = 2
    candidate = name
    while candidate in taken:
        candidate, number = f"{name}-{number}", number + 1
    return candidate


# -- crontab ------------------------------------------------------------------------------------------------------------------


def crontab(jobs: Sequence[Job], config: str) -> str:
    """Lines for `crontab -`. A percent sign would end a command there."""
    lines = ["# Rendered by: drplatform schedule render --target crontab", "# Times are UTC.", "CRON_TZ=UTC", "TZ=UTC"]
    for job in jobs:
        when = "@reboot" if job.is_continuous else job.schedule
        command = " ".join(_quoted(word) for word in command_line(job, config)).replace("%", r"\%")
        lines += [f"# {job.about}", f"{when} {command}"]
    return "\n".join(lines) + "\n"


def command_line(job: Job, config: str) -> tuple[str, ...]:
    return ("drplatform", *job.arguments, "--config", config)


def _quoted(word: str) -> str:
    return (
        word
        if word.replace("-", "").replace("/", "").replace(".", "").replace("_", "").isalnum()
        else "'" + word.replace("'", "'\\''") + "'"
    )


# -- systemd ------------------------------------------------------------------------------------------------------------------


def systemd(jobs: Sequence[Job], config: str, program: str = "/usr/bin/env") -> dict[str, str]:
    """File name -> unit. A continuous job is a service of its own; the others are started by timers, also when the machine was off then."""
    files = {}
    for job in jobs:
        files[f"drplatform-{job.name}.service"] = _service(job, config, program)
        if not job.is_continuous:
            files[f"drplatform-{job.name}.timer"] = _timer(job)
    return files


_HARDENING = (
    "User=drplatform", "StateDirectory=drplatform", "Environment=DRPLATFORM_STATE=/var/lib/drplatform", "EnvironmentFile=-/etc/drplatform/credentials",
    "NoNewPrivileges=yes", "PrivateTmp=yes", "ProtectSystem=strict", "ProtectHome=yes", "UMask=0077",
)  # fmt: skip


def _service(job: Job, config: str, program: str) -> str:
    words = " ".join(_unit_word(word) for word in (program, *command_line(job, config)))
    kind = ["Type=exec", "Restart=always", "RestartSec=5"] if job.is_continuous else ["Type=oneshot"]
    unit = ["[Unit]", f"Description=drplatform: {job.about}", "After=network-online.target", "Wants=network-online.target", ""]
    install = ["", "[Install]", "WantedBy=multi-user.target"] if job.is_continuous else []
    return "\n".join([*unit, "[Service]", *kind, f"ExecStart={words}", *_HARDENING, *install, ""])


def _unit_word(word: str) -> str:
    """A word as ExecStart reads it."""
    word = word.replace("%", "%%").replace("$", "$$")
    return word if not set(word) & set(" \t\"'\\;") else '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _timer(job: Job) -> str:
    when = [f"OnCalendar={moment}" for moment in calendar(job.schedule)]
    unit = ["[Unit]", f"Description=drplatform: {job.about}, by the policy", ""]
    return "\n".join([*unit, "[Timer]", *when, "Persistent=true", "AccuracySec=1s", "", "[Install]", "WantedBy=timers.target", ""])


def calendar(cron: str) -> tuple[str, ...]:
    """The calendar events of systemd for a cron expression: two when it names days both of the month and of the week, which cron takes as either."""
    minute, hour, day, month, weekday = cron.split()
    time = f"{_field(hour, 0)}:{_field(minute, 0)}:00 UTC"
    by_day = f"*-{_field(month, 1)}-{_field(day, 1)} {time}"
    by_weekday = f"{_weekdays(weekday)} *-{_field(month, 1)}-* {time}"
    if weekday.startswith("*"):
        return (by_day,) if weekday == "*" else (f"{_weekdays(weekday)} {by_day}",)
    if day.startswith("*"):
        return (by_weekday,) if day == "*" else (f"{_weekdays(weekday)} {by_day}",)
    return by_day, by_weekday


def _field(field: str, first: int) -> str:
    return ",".join(_item(item, first) for item in field.split(","))


def _item(item: str, first: int) -> str:
    span, slash, step = item.partition("/")
    if span == "*":
        return f"{first}/{step}" if slash else "*"
    return span.replace("-", "..") + (f"/{step}" if slash else "")


def _weekdays(field: str) -> str:
    return ",".join(dict.fromkeys(_DAYS[number % 7] for item in field.split(",") for number in _numbers(item, 0, 6)))


def _numbers(item: str, first: int, last: int) -> range:
    span, slash, step = item.partition("/")
    if span == "*":
        low, high = first, last
    else:
        begin, dash, end = span.partition("-")
        low = int(begin)
        high = int(end) if dash else last if slash else low
    return range(low, high + 1, int(step) if slash else 1)


# -- Kubernetes ---------------------------------------------------------------------------------------------------------------

Document = dict[str, object]
CONFIG_DIRECTORY, STATE_DIRECTORY = "/etc/drplatform", "/var/lib/drplatform"
CLUSTER_STORE = "kubernetes"
"""The store whose backup asks the cluster's own API server; the others have no business there, and no token for it."""


def kubernetes(jobs: Sequence[Job], image: str, namespace: str) -> list[Document]:
    """CronJobs, and a Deployment with a disruption budget for each continuous job."""
    found: list[Document] = []
    for job in jobs:
        found += [_deployment(job, image, namespace), _budget(job, namespace)] if job.is_continuous else [_cron_job(job, image, namespace)]
    return found


def _cron_job(job: Job, image: str, namespace: str) -> Document:
    pod = _pod(job, image) | {"restartPolicy": "Never"}
    template = {"metadata": {"labels": _labels(job)}, "spec": pod}
    run = {"backoffLimit": 2, "activeDeadlineSeconds": 6 * 3600, "ttlSecondsAfterFinished": 2 * 24 * 3600, "template": template}
    spec = {
        "schedule": job.schedule, "timeZone": "Etc/UTC", "concurrencyPolicy": "Forbid", "startingDeadlineSeconds": 3600,
        "successfulJobsHistoryLimit": 3, "failedJobsHistoryLimit": 3, "jobTemplate": {"metadata": {"labels": _labels(job)}, "spec": run},
    }  # fmt: skip
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": _metadata(job, namespace), "spec": spec}


def _deployment(job: Job, image: str, namespace: str) -> Document:
    """One at a time: two that follow the same log would seal it twice."""
    pod = _pod(job, image) | {"terminationGracePeriodSeconds": 60}
    spec = {
        "replicas": 1, "strategy": {"type": "Recreate"}, "selector": {"matchLabels": _selector(job)},
        "template": {"metadata": {"labels": _labels(job)}, "spec": pod},
    }  # fmt: skip
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": _metadata(job, namespace), "spec": spec}


def _budget(job: Job, namespace: str) -> Document:
    """A drain may move it, and never waits for one that is broken."""
    spec = {"maxUnavailable": 1, "unhealthyPodEvictionPolicy": "AlwaysAllow", "selector": {"matchLabels": _selector(job)}}
    return {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": _metadata(job, namespace), "spec": spec}


def _pod(job: Job, image: str) -> Document:
    asks_cluster = CLUSTER_STORE in job.stores
    return {
        "serviceAccountName": "drplatform-cluster-reader" if asks_cluster else "drplatform",
        "automountServiceAccountToken": asks_cluster,
        "securityContext": {
            "runAsNonRoot": True, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"},
        },
        "affinity": {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [_near_the_others()]}},
        "containers": [_container(job, image)],
        "volumes": [
            {"name": "config", "configMap": {"name": "drplatform"}},
            {"name": "state", "persistentVolumeClaim": {"claimName": "drplatform-state"}},
            {"name": "tmp", "emptyDir": {"sizeLimit": "8Gi"}},
        ],
    }  # fmt: skip


def _near_the_others() -> Document:
    """The audit log is on one volume, which one node at a time can mount."""
    return {"weight": 100, "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": _COMMON}}}


def _container(job: Job, image: str) -> Document:
    return {
        "name": "drplatform",
        "image": image,
        "imagePullPolicy": "IfNotPresent",  # one that was brought onto the nodes is used; by default :latest is always pulled
        "command": list(command_line(job, f"{CONFIG_DIRECTORY}/drplatform.yaml")),
        "env": [
            {"name": "DRPLATFORM_STATE", "value": STATE_DIRECTORY},
            {"name": "DRPLATFORM_POLICY", "value": f"{CONFIG_DIRECTORY}/policy.yaml"},
            {"name": "DRPLATFORM_OPERATOR", "value": f"kubernetes/{job.name}"},
            {"name": "HOME", "value": "/tmp"},
        ],
        "envFrom": [{"secretRef": {"name": "drplatform-credentials"}}],
        "securityContext": {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}},
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "768Mi"}},
        "volumeMounts": [
            {"name": "config", "mountPath": CONFIG_DIRECTORY, "readOnly": True},
            {"name": "state", "mountPath": STATE_DIRECTORY},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    }  # fmt: skip


_COMMON: Mapping[str, str] = {"app.kubernetes.io/part-of": "drplatform"}


def _selector(job: Job) -> dict[str, str]:
    return {**_COMMON, "app.kubernetes.io/component": job.name}


def _labels(job: Job) -> dict[str, str]:
    stores = {f"drplatform.io/store-{store}": "true" for store in job.stores}
    return _selector(job) | stores


def _metadata(job: Job, namespace: str) -> Document:
    return {"name": f"drplatform-{job.name}", "namespace": namespace, "labels": _labels(job)}
