"""The capabilities that a plan may ask for: optional powers, as a platform, its servers and its stores have them."""

from collections.abc import Iterator, Mapping

from drplatform.model import drill, ports, powers, services

OF_SERVERS = {
    "killable": ports.Killable,
    "erasable": ports.Erasable,
    "pausable": powers.Pausable,
    "limited": powers.Limited,
    "traceable": powers.Traceable,
    "on-disk": powers.OnDisk,
    "hinderable": powers.Hinderable,
}
"""`killable:primary`: every server of the region has the power; `slow-network:primary`: the network before them can be hindered in that way."""

OF_PLATFORMS = {
    "provision": ports.Provisionable,
    "regions": ports.MultiRegion,
    "pressure": powers.Pressurable,
    "vault-server": powers.Vaulted,
    "pods": powers.Scheduled,
    "services": services.Serving,
}
OF_STORES = {
    "log": ports.LogCapture,
    "namespaced": ports.Namespaced,
    "followed": ports.Replicable,
    "reached": powers.Reached,
    "copied": powers.Copied,
    "resumable": ports.Resumable,
}
"""`log:mongodb`: the store has the power."""


def offered(platform: ports.Platform, stores: Mapping[str, ports.DataStore], faults: tuple[str, ...]) -> frozenset[str]:
    """What is there, by name."""
    kinds = (f"fault:{kind}" for kind in faults)
    return frozenset((*kinds, *_of_servers(platform), *_of_platform(platform), *_of_stores(stores), "repository"))


def _of_servers(platform: ports.Platform) -> Iterator[str]:
    for region in platform.regions:
        for name, power in OF_SERVERS.items():
            if region.instances and all(isinstance(server, power) for server in region.instances):
                yield f"{name}:{region.name}"
        if any(isinstance(server, powers.Skewable) and server.skews for server in region.instances):
            yield f"{drill.SKEWABLE}:{region.name}"
        yield from (f"{how}:{region.name}" for how in _of_network(platform, region))


def _of_network(platform: ports.Platform, region: ports.Region) -> Iterator[str]:
    """How the network before the servers of the region can be hindered."""
    if isinstance(platform, powers.Severable):
        yield from ("hinderable", *(f"{how}-network" for how in platform.hindrances))
        yield from (drill.ONE_WAY,) if platform.one_way_for_clients else ()
    elif region.instances and all(isinstance(server, powers.Hinderable) for server in region.instances):
        yield from (drill.ONE_WAY, *(f"{how}-network" for how in powers.HINDRANCES))


def _of_platform(platform: ports.Platform) -> Iterator[str]:
    yield from (name for name, power in OF_PLATFORMS.items() if isinstance(platform, power))
    yield from (region.name for region in platform.regions if region.name == drill.WITNESS)
    if isinstance(platform, ports.Named) and platform.named:
        yield drill.NAMES
    if isinstance(platform, powers.NameServed) and platform.name_server:
        yield drill.NAME_SERVER


def _of_stores(stores: Mapping[str, ports.DataStore]) -> Iterator[str]:
    for name, store in stores.items():
        yield f"store:{name}"
        yield from (f"{ability}:{name}" for ability, power in OF_STORES.items() if isinstance(store, power))
