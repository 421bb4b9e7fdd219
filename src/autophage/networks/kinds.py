"""The kinds of networks by their names."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from autophage.errors import SpecError
from autophage.networks.dit import DiT
from autophage.networks.mlp import MLP
from autophage.networks.network import Network
from autophage.networks.small_unet import SmallUNet
from autophage.networks.unet import UNet

NETWORKS: dict[str, type[Network]] = {kind.kind: kind for kind in (SmallUNet, UNet, DiT, MLP)}
"""Every kind, from the cheapest for images on."""


def network_from(body: Mapping[str, Any]) -> Network:
    """The network that plain data describe: what `Network.body` wrote, or a spec's `network:`.

    Raises `SpecError` for an unknown kind or key.

    >>> network_from({"kind": "mlp", "width": 16})
    MLP(width=16, blocks=3, dropout=0.0)
    """
    settings = dict(body)
    kind = settings.pop("kind", None)
    if kind not in NETWORKS:
        raise SpecError(f"network.kind is {kind!r}; it must be one of: {', '.join(NETWORKS)}")
    known = [field.name for field in dataclasses.fields(NETWORKS[kind])]
    for key in settings:
        if key not in known:
            raise SpecError(f"network {kind} has no key {key!r}; it knows: {', '.join(known)}")
    return NETWORKS[kind](**settings)
