"""Users and tokens of a Keystone that is somewhere else."""

from drivers.identity.keystone.driver import KeystoneIdentity
from drivers.identity.keystone.options import KeystoneOptions

__all__ = ["KeystoneIdentity", "KeystoneOptions"]
