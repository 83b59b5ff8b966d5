"""python -m sim.wire NAME: an emulated device by hand."""

from sim.wire.by_hand import main

if __name__ == "__main__":
    main()
