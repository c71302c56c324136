"""Crops of several sizes and shapes at fixed places (Wang et al. 2016, TSN), as in VideoMAE and UMT.

Sides are shares of the short side; width and height are at most one step apart.
"""

SCALES = (1.0, 0.875, 0.75, 0.66)
# Where a crop may lie, across and down, in quarters of the room: corners, edges, centre, quarter points.
PLACES = (
    (0, 0), (4, 0), (0, 4), (4, 4), (2, 2), (0, 2), (4, 2), (2, 4), (2, 0), (1, 1), (3, 1), (1, 3), (3, 3),
)  # fmt: skip
SHAPES = tuple((i, j) for i in range(len(SCALES)) for j in range(len(SCALES)) if abs(i - j) <= 1)
