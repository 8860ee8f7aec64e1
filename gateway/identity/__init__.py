"""The Identity API (Keystone v3): REST in, gRPC to identity and the conductor out."""

from gateway.identity.app import build_identity_app
from gateway.identity.options import IdentityApiOptions

__all__ = ["IdentityApiOptions", "build_identity_app"]
