"""The compute role: runs guests on one host."""

from services.compute.images import MeshImages
from services.compute.options import ComputeOptions
from services.compute.role import ComputeRole

__all__ = ["ComputeOptions", "ComputeRole", "MeshImages"]
