"""NumPy arrays of one dtype, as annotations; shapes are told where an array is used."""

import numpy as np
import numpy.typing as npt

UInt8 = npt.NDArray[np.uint8]
UInt32 = npt.NDArray[np.uint32]
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
