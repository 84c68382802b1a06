"""A wrong configuration is rolled out."""

import re
from dataclasses import dataclass

from drplatform.faults import _configuration


@dataclass(frozen=True)
class ConfigurationWrong(_configuration.OnConfiguration):
    """Environment files say something wrong: every number in them is another, as after a bad template."""

    kind = "configuration-wrong"
    section = "environment"

    def spoiled(self, content: bytes) -> bytes:
        return re.sub(rb"\d", lambda digit: b"%d" % (9 - int(digit[0])), content) + b"# rolled out\n"


FAULT = ConfigurationWrong
