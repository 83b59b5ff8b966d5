"""``python -m controller.cli``: the same commands where the console script is not on the path, as in a systemd unit."""

from controller.cli import main

main()
