"""The capabilities that faults may ask for beside those of drills: optional powers, as a platform, its servers and its stores have them."""

from collections.abc import Iterator, Mapping

from drplatform.model import ports, powers, services

OF_SERVERS = {
    "killable": ports.Killable,
    "erasable": ports.Erasable,
    "pausable": powers.Pausable,
    "limited": powers.Limited,
    "traceable": powers.Traceable,
    "on-disk": powers.OnDisk,
    "hinderable": powers.Hinderable,
}
"""`killable:primary`: every server of the region has the power."""

OF_PLATFORMS = {"pressure": powers.Pressurable, "vault-server": powers.Vaulted, "services": services.Serving}


def of(platform: ports.Platform, stores: Mapping[str, ports.DataStore]) -> frozenset[str]:
    """What is there, by name."""
    return frozenset((*_of_servers(platform), *_of_platform(platform), *_of_stores(stores)))


def _of_servers(platform: ports.Platform) -> Iterator[str]:
    for region in platform.regions:
        for name, power in OF_SERVERS.items():
            if region.instances and all(isinstance(server, power) for server in region.instances):
                yield f"{name}:{region.name}"
        if isinstance(platform, powers.Severable):
            yield f"hinderable:{region.name}"


def _of_platform(platform: ports.Platform) -> Iterator[str]:
    yield from (name for name, power in OF_PLATFORMS.items() if isinstance(platform, power))


def _of_stores(stores: Mapping[str, ports.DataStore]) -> Iterator[str]:
    for name, store in stores.items():
        yield f"store:{name}"
        if isinstance(store, powers.Reached):
            yield f"reached:{name}"
        if isinstance(store, ports.Namespaced):
            yield f"namespaced:{name}"
