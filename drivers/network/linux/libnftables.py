"""libnftables, as much of it as the driver calls.

The library is part of every system that has `nft`; its own Python module is not on
PyPI and only in the system's interpreter. Commands go in as text: it is what people
read in nft(8), and one buffer is one transaction, taken whole or not at all.
"""

import ctypes
from typing import Final

from novamesh.failures import DriverFailureError

LIBRARY: Final = "libnftables.so.1"


class Nftables:
    """One context of libnftables, bound to the network namespace of the thread that makes it.

    Not for two threads at once. Raises DriverFailureError when the library is missing.
    """

    def __init__(self) -> None:
        try:
            library = ctypes.CDLL(LIBRARY)
        except OSError as error:
            raise DriverFailureError(
                "network", "load libnftables", f"{LIBRARY} can't be loaded ({error}): install nftables."
            ) from error
        context = ctypes.c_void_p
        library.nft_ctx_new.argtypes = [ctypes.c_uint32]
        library.nft_ctx_new.restype = context
        library.nft_ctx_free.argtypes = [context]
        library.nft_ctx_free.restype = None
        library.nft_run_cmd_from_buffer.argtypes = [context, ctypes.c_char_p]
        library.nft_run_cmd_from_buffer.restype = ctypes.c_int
        for name in ("nft_ctx_buffer_output", "nft_ctx_buffer_error"):
            getattr(library, name).argtypes = [context]
            getattr(library, name).restype = ctypes.c_int
        for name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
            getattr(library, name).argtypes = [context]
            getattr(library, name).restype = ctypes.c_char_p
        self._library = library
        self._context: int | None = library.nft_ctx_new(0)
        if not self._context:
            raise DriverFailureError("network", "open nftables", "libnftables gave no context: no memory?")
        library.nft_ctx_buffer_output(self._context)
        library.nft_ctx_buffer_error(self._context)

    def run(self, commands: str) -> str:
        """Run commands as one transaction and return what they print.

        Raises DriverFailureError with nft's own words; nothing was changed then.
        """
        if self._library.nft_run_cmd_from_buffer(self._context, commands.encode()):
            complaint = self._library.nft_ctx_get_error_buffer(self._context).decode(errors="replace")
            # What is wrong and where; the lines after it point with carets, or follow from it.
            said = " in: ".join(line.strip()[:200] for line in complaint.splitlines()[:2])
            raise DriverFailureError("network", "nftables", said or "nft failed without a word")
        output: bytes = self._library.nft_ctx_get_output_buffer(self._context)
        return output.decode(errors="replace")

    def close(self) -> None:
        """Free the context."""
        if self._context:
            self._library.nft_ctx_free(self._context)
            self._context = None
