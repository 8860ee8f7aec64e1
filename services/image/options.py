"""Options of the image role, Glance's names."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ImageOptions:
    """Section [image] of the configuration."""

    image_size_cap: int = 1 << 40
    """Most bytes of one image's data; 0 for any number."""
    image_property_quota: int = 128
    """Most properties of one image; below 0 for any number."""
    image_tag_quota: int = 128
    """Most tags of one image; below 0 for any number."""
    image_member_quota: int = 128
    """Most members of one image; below 0 for any number."""
    limit_param_default: int = 25
    """Images in a page whose size wasn't given."""
    api_limit_max: int = 1000
    """Most images in a page."""
    disk_formats: tuple[str, ...] = (
        "ami",
        "ari",
        "aki",
        "vhd",
        "vhdx",
        "vmdk",
        "raw",
        "qcow2",
        "vdi",
        "iso",
        "ploop",
    )
    """Disk formats that an image may have."""
    container_formats: tuple[str, ...] = (
        "ami",
        "ari",
        "aki",
        "bare",
        "ovf",
        "ova",
        "docker",
        "compressed",
    )
    """Container formats that an image may have."""
