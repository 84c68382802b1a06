"""The protocols between the engine and its edges. The comments are the contract; the conformance suites test it.

An edge is found by its file name: `kind: postgres` imports `drplatform.stores.postgres` and calls its `connect`. Optional powers are
separate protocols, asked for at plan time with isinstance.
"""

from drplatform.model.ports.abilities import (
    Choice,
    Incremental,
    Inspectable,
    LogBatch,
    LogCapture,
    Namespaced,
    OfReleases,
    Operation,
    Rehearsable,
    Replicable,
    Replicated,
    ReplicationPass,
    Resumable,
    ResumedRestore,
    Selective,
    Verifiable,
)
from drplatform.model.ports.faults import Fault, FaultEffect, Receipt, Scene
from drplatform.model.ports.objects import BackupParts, Checked, Comparing, ObjectChoice, Reconcilable, Reconciled
from drplatform.model.ports.places import Address, Credentials, Endpoint
from drplatform.model.ports.platforms import Erasable, Instance, Killable, MultiRegion, Named, Platform, Provisionable, Region
from drplatform.model.ports.repositories import ObjectInfo, OfFiles, Repository, Undeletes
from drplatform.model.ports.stores import BLOCK_BYTES, DataStore, Dump, DumpEnd, Marker, Part, Parts, Prober, Restore, RestoreEnd
from drplatform.model.ports.telling import Alerts, Notice, Report
from drplatform.model.ports.traffic import Answer, NameServer, Traffic

__all__ = [
    "BLOCK_BYTES",
    "Address",
    "Alerts",
    "Answer",
    "BackupParts",
    "Checked",
    "Choice",
    "Comparing",
    "Credentials",
    "DataStore",
    "Dump",
    "DumpEnd",
    "Endpoint",
    "Erasable",
    "Fault",
    "FaultEffect",
    "Incremental",
    "Inspectable",
    "Instance",
    "Killable",
    "LogBatch",
    "LogCapture",
    "Marker",
    "MultiRegion",
    "NameServer",
    "Named",
    "Namespaced",
    "Notice",
    "ObjectChoice",
    "ObjectInfo",
    "OfFiles",
    "OfReleases",
    "Operation",
    "Part",
    "Parts",
    "Platform",
    "Prober",
    "Provisionable",
    "Receipt",
    "Reconcilable",
    "Reconciled",
    "Region",
    "Rehearsable",
    "Replicable",
    "Replicated",
    "ReplicationPass",
    "Report",
    "Repository",
    "Restore",
    "RestoreEnd",
    "Resumable",
    "ResumedRestore",
    "Scene",
    "Selective",
    "Traffic",
    "Undeletes",
    "Verifiable",
]
