"""Archives in memory, of equal bytes for equal files; no name in one ever becomes a path."""

import gzip
import io
import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping

from dissect.base.units import MIB


def pack(members: Mapping[str, bytes]) -> bytes:
    """A tar without times, owners or anything else that differs between machines."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def compress(data: bytes) -> bytes:
    """The gzip file of ``data``, without a time."""
    return gzip.compress(data, mtime=0)


def unpacked(data: bytes, most: int) -> bytes:
    """Content of a gzip file of at most ``most`` bytes.

    Raises:
        ValueError: it is truncated, no gzip file, or larger.
    """
    try:
        with gzip.open(io.BytesIO(data)) as file:
            content = file.read(most + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"is no gzip file, or truncated ({error})") from None
    if len(content) > most:
        raise ValueError(f"is larger than {most // MIB} MiB when unpacked")
    return content


def members_of(content: bytes, known: re.Pattern[str]) -> Iterator[tuple[str, bytes]]:
    """Names and contents of a tar.

    Raises:
        ValueError: it is no tar, or has a member that is no file, not ``known`` by its name, or there twice.
    """
    names = set()
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as tar:
            for member in tar:
                data = tar.extractfile(member) if member.isfile() and not member.issparse() else None
                if data is None or not known.fullmatch(member.name):
                    raise ValueError(f"{member.name[:80]!r}: unexpected member")
                if member.name in names:
                    raise ValueError(f"{member.name}: is there twice")
                names.add(member.name)
                yield member.name, data.read()
    except tarfile.TarError as error:
        raise ValueError(f"is no archive, or truncated ({error})") from None
