"""A private key in the hands of n holders, of whom any k together have it back, and fewer nothing.

Shamir's secret sharing as SLIP-39 writes it (https://github.com/satoshilabs/slips/blob/master/slip-0039.md), by Trezor's library: a share
is a line of words with a checksum, and a wrong set of shares is refused by a digest of the secret.
"""

from collections.abc import Iterable

import shamir_mnemonic

from drplatform.engine.backups import keys
from drplatform.model import errors
from drplatform.model.secret import Secret

MOST_HOLDERS = 16
"""SLIP-39 numbers the shares with four bits."""


def split(identity: Secret, needed: int, holders: int) -> tuple[Secret, ...]:
    """A share for each holder; any `needed` recover the identity. Raises SettingsError."""
    if not 2 <= needed <= holders <= MOST_HOLDERS:
        raise errors.SettingsError(
            f"{needed} of {holders} holders is no escrow: let 2 or more of at most {MOST_HOLDERS} holders be needed, e.g. 3 of 5."
        )
    keys.identity(identity)
    (shares,) = shamir_mnemonic.generate_mnemonics(1, [(needed, holders)], identity.reveal().strip().encode())
    return tuple(Secret(share) for share in shares)


def join(shares: Iterable[Secret]) -> Secret:
    """The identity that the shares are of. Raises KeyUnavailable when they are too few, of another key, or misspelt; shows none."""
    try:
        found = Secret(shamir_mnemonic.combine_mnemonics([share.reveal().strip() for share in shares]).decode())
    except (shamir_mnemonic.MnemonicError, UnicodeDecodeError, ValueError):
        raise errors.KeyUnavailable(
            "These shares do not recover a key: there are too few, one is misspelt, or one belongs to another key; bring more holders."
        ) from None
    keys.identity(found)
    return found
