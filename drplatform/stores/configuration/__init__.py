"""Configuration kept as a directory: `manifests/` (YAML), `environment/` (.env and values files) and `secrets/`.

The outside uses `connect`. Option of the endpoint: `directory`. Whatever else the directory holds is backed up too, as `other`.

A dump has parts of their own for each section, so that secrets can be encrypted to recipients of their own. Files are read one by one: each
is whole, as it was at one moment; the dump's `end` is the time at which it began. Kept: content, modes (of secrets only the owner's), links
(as links, never followed), empty directories. Left out: owners, times, extended attributes.

The ledger does not write configuration: there are no marks and no prober.
"""

from drplatform.model.clock import Clock
from drplatform.model.ports import Endpoint
from drplatform.stores.configuration.store import ConfigurationStore


def connect(endpoint: Endpoint, clock: Clock) -> ConfigurationStore:
    """A store in `options['directory']`. Raises SettingsError when that is not named."""
    return ConfigurationStore(endpoint, clock)
