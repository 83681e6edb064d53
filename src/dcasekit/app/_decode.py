"""Decode one file that a browser sent, in a process of its own that may take little memory and time: ``python -m dcasekit.app._decode``.

It writes a mono WAV file of 16 bits, and says on standard output how long that is, or on standard error what is wrong.
"""

import json
import sys
import wave
from contextlib import suppress
from pathlib import Path

MEMORY, SECONDS = 2 << 30, 60  # bytes of address space, seconds of the processor
LONGEST = 4 * 3600  # seconds of a recording


def main(source: str, target: str) -> int:
    """Decode a file."""
    _limit()
    import numpy as np

    from dcasekit import audio
    from dcasekit.errors import AudioError

    try:
        info = audio.info(source)
        if info.duration > LONGEST:
            raise AudioError(f"it lasts longer than {LONGEST // 3600} hours")
        with wave.open(target, "wb") as out:
            out.setparams((1, 2, info.sr, 0, "NONE", ""))
            for block in audio.blocks(source):
                out.writeframes((np.clip(block, -1, 1) * 32767).astype("<i2").tobytes())
    except (AudioError, MemoryError, wave.Error) as error:
        sys.stderr.write(str(error).replace(source, "the file") or "it needs too much memory")
        return 1
    sys.stdout.write(json.dumps({"duration": info.duration}))
    return 0


def _limit() -> None:
    """Bound what this process may take, where the system can."""
    with suppress(ImportError):
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    Path(sys.argv[2]).touch(mode=0o600)
    sys.exit(main(*sys.argv[1:3]))
