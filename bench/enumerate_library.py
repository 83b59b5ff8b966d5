"""Write a make-on-demand library: ``python -m bench.enumerate_library N OUT [SEED]``."""

import sys
import time
from pathlib import Path


def main() -> None:
    """Write N compounds recombined from rdkit's WEHI set to OUT (CSV: compound_id, smiles)."""
    from nextplate.chem.enumeration import write_library

    if len(sys.argv) not in (3, 4):
        raise SystemExit("usage: python -m bench.enumerate_library N OUT [SEED]")
    n, out, seed = int(sys.argv[1].replace("_", "")), Path(sys.argv[2]), int((sys.argv[3:] or ["1"])[0])
    started = time.perf_counter()
    blocks = write_library(out, n, seed, progress=lambda done, of: print(f"{done} of {of}", flush=True))
    spent = time.perf_counter() - started
    print(
        f"{out}: {n} compounds of {len(blocks.electrophiles)} electrophiles x {len(blocks.amines)} amines in "
        f"{spent:.0f} s, {out.stat().st_size / 1e6:.0f} MB"
    )


if __name__ == "__main__":
    main()
