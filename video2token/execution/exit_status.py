"""What the exit status of a process means."""

import signal


def how_it_ended(returncode: int) -> str:
    """Return in words what an exit status means; a shell reports signal N as 128 + N."""
    number = -returncode if returncode < 0 else returncode - 128
    if 0 < number < signal.NSIG and number in set(signal.Signals):
        return f"ended by {signal.Signals(number).name}"
    return f"status {returncode}"
