"""The scheduler role: proposes hosts for instances."""

from services.scheduler.options import SchedulerOptions
from services.scheduler.role import SchedulerRole

__all__ = ["SchedulerOptions", "SchedulerRole"]
