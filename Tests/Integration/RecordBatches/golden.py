#!/usr/bin/env python3
"""Makes and reads record batches with kafka-python, for Tests/Data/EventLogTests/GoldenBatches.swift.

    python3 -m venv /tmp/kafka && /tmp/kafka/bin/pip install kafka-python==3.0.12
    /tmp/kafka/bin/python Tests/Integration/RecordBatches/golden.py            # prints the batches below as hex
    /tmp/kafka/bin/python Tests/Integration/RecordBatches/golden.py HEX        # reads a batch made by this project

The records must stay the same as in GoldenBatches.swift: the test builds them with our builder and compares the bytes.
"""
import sys

from kafka.record import MemoryRecords
from kafka.record.default_records import DefaultRecordBatchBuilder

BATCHES = {
    "one": [(1767225600000, b"api_1", b'{"api_id":"api_1"}', [("ce_id", b"evt_1"), ("tenantid", b"acme")])],
    "many": [
        (1767225600000, b"k", b"first", []),
        (1767225600007, None, b"no key", [("empty", b"")]),
        (1767225599999, b"", None, [("null", None), ("\u00e9t\u00e9", b"\x00\xff")]),
        (1767229200000, b"k" * 70, b"v" * 300, [("h%d" % n, b"x" * n) for n in range(9)]),
    ],
    "long": [(1767225600000 + n, b"key-%d" % (n % 7), b"%d" % n * 3, []) for n in range(200)],
}


def build(records):
    builder = DefaultRecordBatchBuilder(
        magic=2, compression_type=0, is_transactional=False, producer_id=-1, producer_epoch=-1, base_sequence=-1,
        batch_size=1 << 30)
    for offset, (timestamp, key, value, headers) in enumerate(records):
        builder.append(offset, timestamp, key, value, headers)
    return bytes(builder.build())


def read(data):
    batches = MemoryRecords(data)
    while batches.has_next():
        batch = batches.next_batch()
        assert batch.validate_crc(), "checksum"
        print(f"batch: base offset {batch.base_offset}, {batch.records_count} records, max timestamp {batch.max_timestamp}, "
              f"epoch {batch.leader_epoch}, producer {batch.producer_id}, magic {batch.magic}")
        for record in batch:
            print(record.offset, record.timestamp, record.key, record.value, record.headers)


if len(sys.argv) > 1:
    read(bytes.fromhex(sys.argv[1]))
else:
    for name, records in BATCHES.items():
        print(name, build(records).hex())
