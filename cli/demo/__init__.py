"""The main job on videos made here."""
