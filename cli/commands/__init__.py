"""One file per verb, named as typed with ``_`` for ``-``; each holds a Click command called ``command``."""
