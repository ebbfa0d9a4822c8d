"""The processes of a command that trains on several devices or machines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    import torch
    from lightning_fabric import Fabric


def launched(devices: int, nodes: int, place: torch.device) -> Fabric | None:
    """So many processes of this command on each machine, seen from this one; None where one is asked for.

    Where `torchrun` or a cluster has started them, they are taken; else the first process starts the others of its machine.

    Raises:
        ImportError: Lightning Fabric is not there.
        BadParameter: there are not so many devices, or processes that somebody else has started.
    """
    if devices * nodes == 1:
        return None
    if ":" in str(place):
        raise typer.BadParameter(f"--device {place} is one, but --devices says {devices}: give {place.type}")
    try:
        from lightning_fabric import Fabric
        from lightning_fabric.utilities.exceptions import MisconfigurationException
    except ImportError as error:
        raise ImportError(
            'to train on several devices, yuragi needs the package lightning-fabric: pip install "yuragi[fabric]"'
        ) from error
    try:
        fabric = Fabric(accelerator=place.type, devices=devices, num_nodes=nodes, strategy="ddp")
        fabric.launch()
    except (MisconfigurationException, ValueError, RuntimeError) as error:
        raise typer.BadParameter(f"{devices} processes on each of {nodes} machines cannot be had: {error}") from error
    return fabric
