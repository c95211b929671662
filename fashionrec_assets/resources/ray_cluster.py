"""The Ray cluster as a Dagster resource, through dagster-ray.

Belongs here: which resource the settings name, and handing its cluster to the stages. Does not belong here: computing
on it (`ray_compute.py`). Without dagster-ray, which is part of the extra `ray`, stages join the cluster themselves.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg

from fashionrec_assets.resources.ray_compute import init_options
from fashionrec_assets.settings import ComputeSettings

if TYPE_CHECKING:
    from dagster_ray import RayResource

RESOURCE = "ray"


def resources_of(settings: ComputeSettings, given: RayResource | None = None) -> Mapping[str, RayResource]:
    """The resource `ray`, if the engine is Ray and dagster-ray is there: `given`, else the cluster that is set.

    The one that is set joins, or starts, its cluster only when a stage has a batch for it: an unchanged night has none.
    """
    if settings.engine != "ray" or importlib.util.find_spec("dagster_ray") is None:
        return {}
    return {RESOURCE: given or _of_settings(settings)}


def connector(context: dg.InitResourceContext) -> Callable[[], object] | None:
    """What brings the run's cluster up and joins it, or None where the run has no resource `ray`.

    A resource whose `lifecycle` says so has done that when the run began.
    """
    resource: Any = getattr(context.resources, RESOURCE, None)
    if resource is None:
        return None

    def connect() -> None:
        if not resource.created:
            resource.create(context)
        if not resource.ready:
            resource.wait(context)
        if not resource.connected:
            resource.connect(context)

    return connect


def _of_settings(settings: ComputeSettings) -> RayResource:
    from dagster_ray import Lifecycle, LocalRay
    from dagster_ray.configs import RayDataExecutionOptions

    class SetCluster(LocalRay):
        """The cluster of `compute.address`; None, one of this machine for this run."""

        address: str

        @property
        def ray_address(self) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
            return self.address

    return SetCluster(
        address=settings.address or "local",
        lifecycle=Lifecycle(create=False),
        ray_init_options=init_options(settings),
        data_execution_options=RayDataExecutionOptions(verbose_progress=False),
    )
