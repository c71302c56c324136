"""Tars of videos."""
