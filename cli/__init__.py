"""The ``vfm`` command: one file per verb under ``commands``; nothing imports this package."""
