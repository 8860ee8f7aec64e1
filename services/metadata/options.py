"""What can be set about a metadata role."""

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class MetadataOptions:
    """Section `[metadata]`; the names are Nova's where Nova has the option."""

    dhcp_domain: str = "novalocal"
    """Domain of the guests' names; empty for none. The network driver's should be the same."""
    metadata_cache_expiration: float = 2.0
    """Seconds for which a guest's record is not read again. A boot asks some thirty times within
    two seconds; an address may be another guest's soon after."""
    metadata_cache_size: int = 4096
    """Records that are kept at most."""
    vendordata: str = "{}"
    """The operator's own JSON object, which every guest sees as vendor_data.json, and in
    vendor_data2.json under `static`."""
    rpc_timeout: float = 10.0
    """Seconds that one call to the conductor may take."""

    def __post_init__(self) -> None:
        """Refuse vendordata that guests couldn't read. Raises ValueError."""
        try:
            parsed = json.loads(self.vendordata)
        except json.JSONDecodeError as error:
            raise ValueError(f"vendordata is not JSON: {error}") from error
        if not isinstance(parsed, dict):
            raise ValueError("vendordata must be a JSON object")
