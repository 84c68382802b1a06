"""Objects as YAML: stable, so that two backups can be compared line by line, and as `kubectl apply` reads it. Pure.

Kubernetes reads YAML by rules of its own (sigs.k8s.io/yaml): text such as 1e3, 0o17 or 12_000 is a number there, though not to every YAML
library. So any text that does not begin like a word is quoted.
"""

import re
from collections.abc import Iterable, Mapping

import yaml

from drplatform.stores.kubernetes.resource import Key, Resource

_WORD = re.compile(r"[A-Za-z_/][^\n]*\Z")
_WIDTH = 4096
_FIRST = ("apiVersion", "kind", "metadata")


class _Dumper(yaml.SafeDumper):
    """Quotes what could be read as something else, and keeps text of several lines readable."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None if _WORD.match(value) else "'"
    if value.lower() in ("y", "n"):  # a boolean of YAML 1.1
        style = "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def manifest(resource: Resource) -> str:
    """The object as one YAML document, keys in order, kind and name first."""
    document = resource.document
    ordered = {name: _sorted(document[name]) for name in _FIRST if name in document}
    ordered |= {name: _sorted(document[name]) for name in sorted(document) if name not in _FIRST}
    return yaml.dump(ordered, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH)


def _sorted(value: object) -> object:
    if isinstance(value, Mapping):
        return {name: _sorted(value[name]) for name in sorted(value)}
    return [_sorted(one) for one in value] if isinstance(value, list) else value


def path(key: Key) -> str:
    """Where the object belongs in a directory of manifests; unique, and the same for the same object."""
    kind = f"{key.kind}.{key.group}" if key.group else key.kind
    return f"{key.namespace or '_cluster'}/{kind}/{key.name.replace(':', '%3A').replace('/', '%2F')}.yaml"


def manifests(resources: Iterable[Resource]) -> dict[str, str]:
    """Path -> YAML of everything but secrets, which are never written in clear."""
    return {path(r.key): manifest(r) for r in sorted(resources, key=lambda r: r.key) if r.section != "secrets"}
