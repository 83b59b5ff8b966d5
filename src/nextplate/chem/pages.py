"""Memory of a library that lies on disk."""

import mmap

from nextplate.compound import Features


def release_pages(features: Features) -> None:
    """Give back the memory of rows read so far; they come from disk (or the system's cache) when asked for again.

    Pages of a mapped file count as the process's own while they are mapped: whoever walks over a library of millions
    would seem, and under a memory limit be, as large as the library. Other threads may be reading meanwhile.
    """
    for array in (features.fingerprints, features.counts, features.pairs, features.descriptors):
        mapped = getattr(array, "_mmap", None)
        if isinstance(mapped, mmap.mmap):
            mapped.madvise(mmap.MADV_DONTNEED)
