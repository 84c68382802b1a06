"""What is kept of what was done: audit log, signed evidence, reports, and the keys of this machine."""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drplatform.engine import attest, audit, backups
from drplatform.engine.audit import AuditLog
from drplatform.environment.settings import Settings
from drplatform.model import compliance, errors, evidence, policy, strategy
from drplatform.model.clock import Clock
from drplatform.model.evidence import Evidence
from drplatform.model.secret import Secret
from drplatform.reports import allure as allure_report
from drplatform.reports import documents, html, json


@dataclass(frozen=True)
class Records:
    """What is kept of what was done: the audit log, the signed evidence and the reports; and the keys of this machine."""

    settings: Settings
    clock: Clock
    policy: policy.Policy
    seed: int

    @property
    def audit(self) -> AuditLog:
        return AuditLog(self.settings.state / "audit.jsonl")

    def require_records(self) -> None:
        """Make sure, before anything is touched, that what is done can be recorded and reported. Raises SettingsError."""
        self.require_log()
        try:
            self.settings.reports.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise errors.SettingsError(f"{error.filename} cannot be written ({error.strerror}); choose another --reports.") from error

    def require_log(self) -> None:
        """Make sure that an operation can be recorded. Raises SettingsError."""
        try:
            self.audit.ready()
        except OSError as error:
            raise errors.SettingsError(f"{error.filename} cannot be written ({error.strerror}); set DRPLATFORM_STATE.") from error
        except errors.IntegrityError as error:
            raise errors.SettingsError(
                f"{error} Nothing is done that could not be recorded after it: keep {self.audit.path} as evidence, and move it aside."
            ) from error

    def record_operation(self, kind: str, **detail: Any) -> None:
        """Note an operation on backups in the audit log: who, what, when."""
        self.audit.append({"kind": kind, "who": self.settings.operator, "when": self.clock.utc().isoformat(), **detail})

    @contextmanager
    def recorded(self, kind: str, **detail: Any) -> Iterator[dict[str, Any]]:
        """An operation with its beginning and end in the audit log. What cannot be recorded does not run.

        What is put into the dictionary is noted at the end.
        """
        self.record_operation(f"{kind} begun", **detail)
        found: dict[str, Any] = {}
        try:
            yield found
        except BaseException as error:
            self.record_operation(f"{kind} failed", **detail, error=f"{type(error).__name__}: {error}")
            raise
        self.record_operation(f"{kind} done", **detail, **found)

    def record(self, evidence: Evidence) -> dict[str, Any]:
        """Append the evidence to the audit log; the record with its place in the chain."""
        return self.audit.append(evidence.to_json())

    def report(self, evidence: Evidence, record: Mapping[str, Any], *, allure: bool = True) -> dict[str, Path]:
        """Write the reports below the reports directory; the file (or, for Allure, directory) to open, by format.

        Without `allure` where allure-pytest writes the results of the same run.
        """
        directory = self.settings.reports / evidence.id
        written = {"html": html.write(evidence, directory, record), "json": json.write(evidence, directory, record)}
        written["signed"] = documents.write_whole(
            directory / documents.file_name(evidence, ".dsse.json"), attest.sign(record, self.signing_key())
        )
        if allure:
            written["allure"] = allure_report.write(evidence, self.settings.reports / "allure-results", record)
        return written

    @property
    def identity_file(self) -> Path:
        """Where `keys generate` puts the private key."""
        return self.settings.state / "keys" / "identity.txt"

    def signing_key(self) -> Secret:
        """The key that signs evidence on this machine; made at its first use, with the public one beside it."""
        file = self.settings.state / "keys" / "signing.pem"
        if not file.exists():
            public, private = attest.generate()
            with suppress(FileExistsError):  # another run was first
                backups.write_private(file, private)
                self.record_operation("signing key made", public=public.decode())
        key = Secret(file.read_text())
        documents.write_whole(self.signing_public, attest.public_of(key))
        return key

    @property
    def signing_public(self) -> Path:
        """The public key for auditors."""
        return self.settings.state / "keys" / "signing.pub"

    def verified_log(self, path: Path | None = None) -> list[dict[str, Any]]:
        """The records of an audit log, by default this machine's. Raises IntegrityError when one was changed, moved or removed."""
        if path and not path.is_file():
            raise errors.SettingsError(f"There is no audit log {path}; name the audit.jsonl of the machine that ran the drills.")
        log = AuditLog(path) if path else self.audit
        records = log.read()
        evidence.verify_chain(records)
        return records

    def assessment(self) -> compliance.Assessment:
        """What the evidence in this machine's audit log says of the strategy, now. Raises IntegrityError when the log was tampered with."""
        records = self.verified_log()
        return compliance.assess(strategy.CLAUSES, records, self.policy, self.clock.utc(), audit.unfinished(records))

    def signed_evidence(self, file: Path, public_keys: tuple[Path, ...] = ()) -> dict[str, Any]:
        """The record in a signed file. Raises IntegrityError when it is not as it was signed by one of the keys (default: our own)."""
        try:
            trusted = [path.read_bytes() for path in public_keys or (self.signing_public,)]
            return attest.read(file.read_bytes(), trusted)
        except OSError as error:
            raise errors.SettingsError(f"{error.filename} cannot be read ({error.strerror}).") from error
        except errors.IntegrityError as error:
            raise errors.IntegrityError(f"{file}: {error}") from error

    def random(self) -> random.Random:
        return random.Random(self.seed)
