"""vfm turns a folder of videos into a pretrained video foundation model."""

__version__ = "0.1.0"
