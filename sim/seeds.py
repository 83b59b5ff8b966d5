"""Seeded randomness addressed by names: the same seed and names give the same numbers, in any order."""

import hashlib

import numpy as np


def generator(seed: int, *names: object) -> np.random.Generator:
    """Return a generator that depends on the seed and on every name, and on nothing else."""
    text = "\x1f".join(str(name) for name in names)
    digest = hashlib.sha256(f"{seed}\x1e{text}".encode()).digest()
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence(int.from_bytes(digest[:16], "little"))))


def chance(seed: int, *names: object) -> float:
    """Return one uniform number in [0, 1) for these names; much cheaper than a generator."""
    text = "\x1f".join(str(name) for name in names)
    digest = hashlib.sha256(f"{seed}\x1d{text}".encode()).digest()
    return int.from_bytes(digest[:7], "little") / (1 << 56)
