"""A record batch as the log stores it (Kafka's magic 2, uncompressed), made here and not by the platform: for events that it never
would publish."""

import struct

_POLYNOMIAL = 0x82F63B78
_TABLE = []
for _byte in range(256):
    for _ in range(8):
        _byte = _byte >> 1 ^ (_POLYNOMIAL if _byte & 1 else 0)
    _TABLE.append(_byte)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def varint(number):
    """Zigzag, seven bits a byte, lowest first."""
    number = number << 1 if number >= 0 else (-number << 1) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def sized(data):
    return varint(-1) if data is None else varint(len(data)) + data


def batch(milliseconds, key, value, headers=()):
    """One record, from offset 0 on; `headers` are pairs of a name and bytes."""
    record = b"\x00" + varint(0) + varint(0) + sized(key) + sized(value) + varint(len(headers))
    for name, content in headers:
        record += sized(name.encode()) + sized(content)
    checked = struct.pack(">hiqqqhii", 0, 0, milliseconds, milliseconds, -1, -1, -1, 1) + sized(record)
    return struct.pack(">qiibI", 0, len(checked) + 9, -1, 2, crc32c(checked)) + checked
