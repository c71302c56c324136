"""``python -m vfm.cli``, as torchrun starts it."""

from vfm.cli.main import main

main()
