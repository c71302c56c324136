"""How a job and its workers frame what they say to each other."""

import struct

REQUEST = struct.Struct(">I")  # length of the JSON after it

REPLY = struct.Struct(">IQ")  # length of the JSON head after it, length of the bytes after that

READY = "ready"
