"""What the first bytes of an image say about it.

An image's data comes from users, and a disk format that names other files is an
attack: a qcow2 with a backing file or an external data file makes the host read
what the user chose (CVE-2015-5163, CVE-2024-32498). The same bytes stored as
`raw` are one as well when something later guesses the format. So data is looked
at while it is stored, and refused when it isn't plainly what its record says.
Layouts: QEMU's docs/interop/qcow2.txt, the VMDK and VHD specifications.
"""

import struct

from novamesh.failures import InvalidArgumentError

QCOW2_MAGIC = b"QFI\xfb"
_QCOW2_EXTERNAL_DATA_FILE = 1 << 2
# Formats that refer to other files, by what they start with.
_REFERRING = {
    QCOW2_MAGIC: "qcow2",
    b"QED\x00": "qed",
    b"KDMV": "vmdk",
    b"COWD": "vmdk",
    b"# Disk DescriptorFile": "vmdk",
    b"vhdxfile": "vhdx",
    b"conectix": "vhd",
}
# What data of a format starts with. Formats that aren't here have no magic at their start.
_MAGIC = {
    "qcow2": (QCOW2_MAGIC,),
    "vmdk": (b"KDMV", b"COWD"),
    "vhdx": (b"vhdxfile",),
    "ploop": (b"WithoutFreSpace", b"WithouFreSpacExt"),
}
# Formats whose bytes are the disk itself.
_PLAIN = frozenset({"raw", "ami", "aki", "ari", "iso"})
_HEAD = 128
# Sizes are signed numbers of 64 bits everywhere from here on.
_LARGEST_DISK = 1 << 62


class Inspector:
    """Looks at the data of one image as it passes.

    `feed` it the chunks in order, then call `finish`. Both raise
    InvalidArgumentError("disk_format") when the data isn't what `disk_format` says.
    """

    def __init__(self, disk_format: str) -> None:
        self._format = disk_format
        self._head = b""
        self._judged = False
        self._size = 0
        self._virtual_size = 0

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        self._size += len(chunk)
        if self._judged:
            return
        self._head += chunk[: _HEAD - len(self._head)]
        if len(self._head) >= _HEAD:
            self._judge()

    def finish(self) -> int:
        """The size in bytes of the disk that a guest sees; 0 when it can't be told."""
        if not self._judged:
            self._judge()
        return self._size if self._format in _PLAIN else self._virtual_size

    def _judge(self) -> None:
        self._judged = True
        expected = _MAGIC.get(self._format)
        if expected and not self._head.startswith(expected):
            raise InvalidArgumentError(
                "disk_format", f"The data is not of the disk format {self._format} that the image names."
            )
        if self._format in _PLAIN:
            for magic, name in _REFERRING.items():
                if self._head.startswith(magic):
                    raise InvalidArgumentError(
                        "disk_format",
                        f"The data is of the disk format {name}, the image names {self._format}.",
                    )
        if self._format == "qcow2":
            self._judge_qcow2()

    def _judge_qcow2(self) -> None:
        if len(self._head) < 72:
            raise InvalidArgumentError("disk_format", "The data ends within its qcow2 header.")
        version, backing_offset = struct.unpack_from(">IQ", self._head, 4)
        (self._virtual_size,) = struct.unpack_from(">Q", self._head, 24)
        if self._virtual_size > _LARGEST_DISK:
            raise InvalidArgumentError(
                "disk_format", "A qcow2 image of more than 2^62 bytes is not accepted."
            )
        if version not in (2, 3):
            raise InvalidArgumentError("disk_format", f"qcow2 version {version} is not known.")
        if backing_offset:
            raise InvalidArgumentError("disk_format", "A qcow2 image with a backing file is not accepted.")
        if version == 3:
            (incompatible,) = struct.unpack_from(">Q", self._head, 72)
            if incompatible & _QCOW2_EXTERNAL_DATA_FILE:
                raise InvalidArgumentError(
                    "disk_format", "A qcow2 image with an external data file is not accepted."
                )
