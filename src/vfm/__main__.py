"""``python -m vfm``: the command ``vfm``, also where its script is not on the path."""

from vfm.cli.main import main

main()
