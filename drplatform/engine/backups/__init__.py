"""Backups: chunks -> repository, and back. Compression, encryption, checksums, manifests and verification, once for all stores.

What is imported here is for the outside.
"""

from drplatform.engine.backups.catalogue import Catalogue
from drplatform.engine.backups.keys import generate, public, read_identities, read_recipients, write_identity, write_private
from drplatform.engine.backups.objects import compare, reconcile
from drplatform.engine.backups.proof import Proof, chain_of, prove
from drplatform.engine.backups.restore import Lease, check_target, log_blocks, restore
from drplatform.engine.backups.rotation import Ring
from drplatform.engine.backups.sealing import DataKey, Opener, new_id
from drplatform.engine.backups.second_seal import differing
from drplatform.engine.backups.verify import Verification, choose, verify
from drplatform.engine.backups.writer import back_up, seal_log

__all__ = [
    "Catalogue",
    "DataKey",
    "Lease",
    "Opener",
    "Proof",
    "Ring",
    "Verification",
    "back_up",
    "chain_of",
    "check_target",
    "choose",
    "compare",
    "differing",
    "generate",
    "log_blocks",
    "new_id",
    "prove",
    "public",
    "read_identities",
    "read_recipients",
    "reconcile",
    "restore",
    "seal_log",
    "verify",
    "write_identity",
    "write_private",
]
