"""The identity role: tokens, and the secrets that they are got with."""

from services.identity.role import IdentityRole

__all__ = ["IdentityRole"]
