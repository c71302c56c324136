"""How well texts find their videos, and videos their texts."""
