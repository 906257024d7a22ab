"""Verifies the audit log from outside, written from the documents alone: C2SP signed-note, tlog-checkpoint and tlog-tiles, RFC 9162 (section 2.1)
and RFC 8032. It shares no code with the platform; what it accepts, anybody's verifier should."""

import base64
import hashlib
from dataclasses import dataclass

TILE_WIDTH = 256


class Refused(Exception):
    """What was shown proves nothing."""


# Ed25519 (RFC 8032, section 5.1).

_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, _P - 2, _P) % _P
_SQRT_MINUS_ONE = pow(2, (_P - 1) // 4, _P)


def _add(a, b):
    e = (a[1] - a[0]) * (b[1] - b[0]) % _P
    f = (a[1] + a[0]) * (b[1] + b[0]) % _P
    g = 2 * a[3] * b[3] * _D % _P
    h = 2 * a[2] * b[2] % _P
    i, j, k, m = f - e, h - g, h + g, f + e
    return i * j % _P, k * m % _P, j * k % _P, i * m % _P


def _times(scalar, point):
    result = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = _add(result, point)
        point = _add(point, point)
        scalar >>= 1
    return result


def _is_equal(a, b):
    return (a[0] * b[2] - b[0] * a[2]) % _P == 0 and (a[1] * b[2] - b[1] * a[2]) % _P == 0


def _x_of(y, sign):
    if y >= _P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, _P - 2, _P) % _P
    if square == 0:
        return None if sign else 0
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _SQRT_MINUS_ONE % _P
    if (x * x - square) % _P:
        return None
    return _P - x if x & 1 != sign else x


def _point(data):
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    x = _x_of(y, sign)
    return None if x is None else (x, y, 1, x * y % _P)


_BASE_Y = 4 * pow(5, _P - 2, _P) % _P
_BASE = (_x_of(_BASE_Y, 0), _BASE_Y, 1, _x_of(_BASE_Y, 0) * _BASE_Y % _P)


def is_signed(key, message, signature):
    if len(key) != 32 or len(signature) != 64:
        return False
    public, commitment = _point(key), _point(signature[:32])
    scalar = int.from_bytes(signature[32:], "little")
    if public is None or commitment is None or scalar >= _L:
        return False
    challenge = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % _L
    return _is_equal(_times(scalar, _BASE), _add(commitment, _times(challenge, public)))


# Signed notes and checkpoints.


@dataclass(frozen=True)
class Key:
    """A verifier key: NAME+ID+base64(0x01 and the 32 bytes of an Ed25519 key)."""

    name: str
    identity: bytes
    public: bytes

    @classmethod
    def parse(cls, text):
        name, identity, data = text.split("+", 2)
        data = base64.b64decode(data, validate=True)
        if data[:1] != b"\x01" or len(data) != 33:
            raise Refused("no Ed25519 key")
        expected = hashlib.sha256(name.encode() + b"\n" + data).digest()[:4]
        if bytes.fromhex(identity) != expected:
            raise Refused("the key's id is not that of its name and bytes")
        return cls(name, expected, data[1:])


@dataclass(frozen=True)
class Checkpoint:
    origin: str
    size: int
    root: bytes


def checkpoint(note, key):
    """Reads a signed checkpoint, if `key` signed it."""
    if not note.endswith(b"\n") or b"\n\n" not in note:
        raise Refused("no signed note")
    text, signatures = note.rsplit(b"\n\n", 1)
    text += b"\n"
    if not any(_signs(line, text, key) for line in signatures.decode().splitlines()):
        raise Refused("not signed with the key")
    lines = text.decode().split("\n")
    if len(lines) < 4 or lines[0] != key.name or not lines[1].isascii() or not lines[1].isdigit() or str(int(lines[1])) != lines[1]:
        raise Refused("no checkpoint of this log")
    root = base64.b64decode(lines[2], validate=True)
    if len(root) != 32:
        raise Refused("the root has no 32 bytes")
    return Checkpoint(lines[0], int(lines[1]), root)


def _signs(line, text, key):
    words = line.split(" ")
    if len(words) != 3 or words[0] != "\N{EM DASH}" or words[1] != key.name:
        return False
    data = base64.b64decode(words[2], validate=True)
    return data[:4] == key.identity and is_signed(key.public, text, data[4:])


# The tree (RFC 9162, section 2.1).


def leaf_hash(entry):
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(hashes):
    """MTH of leaf hashes, as section 2.1.1 defines it."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    split = 1 << (len(hashes) - 1).bit_length() - 1
    return node_hash(root(hashes[:split]), root(hashes[split:]))


def check_inclusion(entry, index, size, proof, wanted):
    """Section 2.1.3.2."""
    if index >= size:
        raise Refused("the entry is beyond the tree")
    fn, sn, found = index, size - 1, leaf_hash(entry)
    for sibling in proof:
        if sn == 0:
            raise Refused("the proof is too long")
        if fn & 1 or fn == sn:
            found = node_hash(sibling, found)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            found = node_hash(found, sibling)
        fn, sn = fn >> 1, sn >> 1
    if sn or found != wanted:
        raise Refused("the proof does not lead to the root")


def check_consistency(first, second, proof):
    """That the tree of checkpoint `first` is a beginning of that of `second`: section 2.1.4.2."""
    if first.origin != second.origin or first.size > second.size:
        raise Refused("not two heads of one log in their order")
    if first.size in (0, second.size):
        if proof or (first.size and first.root != second.root):
            raise Refused("two roots for one size")
        return
    path = list(proof)
    if first.size & (first.size - 1) == 0:
        path.insert(0, first.root)
    if not path:
        raise Refused("an empty proof")
    fn, sn = first.size - 1, second.size - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    earlier = later = path[0]
    for sibling in path[1:]:
        if sn == 0:
            raise Refused("the proof is too long")
        if fn & 1 or fn == sn:
            earlier, later = node_hash(sibling, earlier), node_hash(sibling, later)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            later = node_hash(later, sibling)
        fn, sn = fn >> 1, sn >> 1
    if sn or earlier != first.root or later != second.root:
        raise Refused("the later tree does not begin with the earlier")


# Tiles (tlog-tiles).


def tile_path(level, index, width=TILE_WIDTH):
    words = [f"{index % 1000:03d}"]
    while index >= 1000:
        index //= 1000
        words.insert(0, f"x{index % 1000:03d}")
    partial = "" if width == TILE_WIDTH else f".p/{width}"
    return f"tile/{level}/{'/'.join(words)}{partial}"


def tiles(size):
    """Level, index and width of every tile of a tree."""
    level = 0
    while size:
        for index in range(-(-size // TILE_WIDTH)):
            yield level, index, min(TILE_WIDTH, size - index * TILE_WIDTH)
        level, size = level + 1, size // TILE_WIDTH


def check_bundles(fetch, head):
    """Every entry of a tree from its entry bundles."""
    entries = []
    for level, index, width in tiles(head.size):
        if level:
            continue
        data = fetch(tile_path("entries", index, width))
        for _ in range(width):
            length = int.from_bytes(data[:2], "big")
            entries.append(data[2:2 + length])
            data = data[2 + length:]
        if data:
            raise Refused(f"bundle {index} has more than {width} entries")
    if root([leaf_hash(entry) for entry in entries]) != head.root:
        raise Refused("the entries are not those of the tree")
    return entries


def check_tiles(fetch, head):
    """Every leaf hash of a tree from its tiles, each of which must follow from those below, and all lead to the root."""
    levels = {}
    for level, index, width in tiles(head.size):
        data = fetch(tile_path(level, index, width))
        if len(data) != 32 * width:
            raise Refused(f"tile {level}/{index} has {len(data)} bytes")
        levels.setdefault(level, []).extend(data[at:at + 32] for at in range(0, len(data), 32))
    for level in range(1, len(levels)):
        below = levels[level - 1]
        for index, found in enumerate(levels[level]):
            if root(below[index * TILE_WIDTH:(index + 1) * TILE_WIDTH]) != found:
                raise Refused(f"hash {index} of level {level} does not follow from those below")
    if root(levels.get(0, [])) != head.root:
        raise Refused("the tiles do not lead to the root")
    return levels.get(0, [])
