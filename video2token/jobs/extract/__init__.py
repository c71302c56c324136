"""Decodes every video once into frames."""
