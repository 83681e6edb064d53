"""Tags that players write before and behind any kind of sound: ID3, its first version, and APE."""

from dcasekit.audio._bytes import Bytes


def after(file: Bytes, begin: int, end: int) -> int:
    """Return the byte behind the tags that begin at `begin`, at most `end`."""
    while begin < end:
        head = file.at(begin, 32)
        if head[:3] == b"ID3" and len(head) > 10 and max(head[6:10]) < 128:
            begin += 10 + (head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]) + (10 if head[5] & 16 else 0)
        elif head[:8] == b"APETAGEX" and len(head) == 32:
            begin += _ape(head)
        elif head[:3] == b"TAG":
            begin += 128
        else:
            break
    return min(begin, end)


def before(file: Bytes, begin: int, end: int) -> int:
    """Return the byte where the tags begin that end at `end`, at least `begin`.

    Those of ID3's later versions cannot be found from behind.
    """
    while end - begin > 128:
        tail = file.at(end - 128, 128)
        if tail[:3] == b"TAG":
            end -= 128
        elif tail[96:104] == b"APETAGEX":
            end -= _ape(tail[96:])
        else:
            break
    return max(begin, end)


def _ape(head: bytes) -> int:
    """Count the bytes of a tag by its head or foot, which does not count the head."""
    return max(32, int.from_bytes(head[12:16], "little") + (32 if head[23] & 128 else 0))
