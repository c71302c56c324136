"""The constants that most encoders' pixels are normalized by: of values in [0, 1], of each channel of RGB."""

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
