"""The cert role: the cloud's certificate authority."""

from services.cert.joining import JoinTokenText, join
from services.cert.options import CertOptions
from services.cert.provision import provision
from services.cert.role import CertRole

__all__ = ["CertOptions", "CertRole", "JoinTokenText", "join", "provision"]
