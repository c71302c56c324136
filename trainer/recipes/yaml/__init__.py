"""Recipes as files of YAML: read, checked and written."""
