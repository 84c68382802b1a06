"""A secret is replaced, and nobody has the old one."""

import os
from dataclasses import dataclass

from drplatform.faults import _configuration


@dataclass(frozen=True)
class SecretRotatedAway(_configuration.OnConfiguration):
    """Secrets are replaced by random ones of the same length, so that what used them is locked out."""

    kind = "secret-rotated-away"
    section = "secrets"

    def spoiled(self, content: bytes) -> bytes:
        return os.urandom(len(content) // 2 + 1).hex().encode()[: max(len(content), 8)]


FAULT = SecretRotatedAway
