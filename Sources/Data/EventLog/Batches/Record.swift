import Bytes
package import Time

/// One header of a record.
package struct RecordHeader: Sendable, Equatable {
    package let name: String
    /// nil only in batches made elsewhere: Kafka allows a header without a value.
    package let value: [UInt8]?

    package init(_ name: String, _ value: [UInt8]?) {
        self.name = name
        self.value = value
    }

    package init(_ name: String, _ value: String) {
        self.name = name
        self.value = Array(value.utf8)
    }

    /// The value as text; nil when there is none or it is not UTF-8.
    package var text: String? { self.value.flatMap { String(validating: $0, as: UTF8.self) } }
}

/// One record as consumers get it: copied out of its batch.
package struct Record: Sendable, Equatable {
    package let topic: String
    package let partition: Int
    package let offset: Int64
    package let timestamp: Timestamp
    package let key: [UInt8]?
    /// Empty for a tombstone.
    package let value: [UInt8]
    /// True when the record has no value at all: in a compacted topic it removes its key.
    package let isTombstone: Bool
    package let headers: [RecordHeader]

    /// The first header of that name, as text.
    package func header(_ name: String) -> String? {
        for header: RecordHeader in self.headers where header.name == name { return header.text }
        return nil
    }

    /// CloudEvents `id`: what makes a repeated delivery recognisable.
    package var eventID: String? { self.header("ce_id") }
    package var eventType: String? { self.header("ce_type") }
    package var tenant: String? { self.header("tenantid") }
    package var actor: String? { self.header("actor") }
    package var traceparent: String? { self.header("traceparent") }
    package var keyText: String? { self.key.flatMap { String(validating: $0, as: UTF8.self) } }
}

extension RecordBatch {
    /// Copies one record out of the batch.
    package func record(_ view: RecordView, topic: String, partition: Int) throws(RecordBatchError) -> Record {
        var headers: [RecordHeader] = []
        headers.reserveCapacity(view.headerCount)
        var fields: RecordFieldReader = RecordFieldReader(self.bytes, in: view.headers)
        for _ in 0..<view.headerCount {
            let header: HeaderView = try fields.header()
            guard let name: String = String(validating: self.bytes[header.name], as: UTF8.self) else {
                throw .headerNameNotUTF8(offset: header.name.lowerBound)
            }
            headers.append(RecordHeader(name, header.value.map { Array(self.bytes[$0]) }))
        }
        return Record(
            topic: topic, partition: partition, offset: view.offset, timestamp: Timestamp(milliseconds: view.timestamp),
            key: view.key.map { Array(self.bytes[$0]) }, value: view.value.map { Array(self.bytes[$0]) } ?? [],
            isTombstone: view.value == nil, headers: headers)
    }

    /// Whether the record's first header called `name` has exactly this value. Allocates nothing: filters run on it.
    package func has(header name: [UInt8], value: [UInt8], in view: RecordView) throws(RecordBatchError) -> Bool {
        var fields: RecordFieldReader = RecordFieldReader(self.bytes, in: view.headers)
        for _ in 0..<view.headerCount {
            let header: HeaderView = try fields.header()
            guard self.bytes[header.name].elementsEqual(name) else { continue }
            guard let extent: Range<Int> = header.value else { return false }
            return self.bytes[extent].elementsEqual(value)
        }
        return false
    }

    /// Every record from `offset` on.
    package func records(
        from offset: Int64 = 0, topic: String, partition: Int
    ) throws(RecordBatchError) -> [Record] {
        var found: [Record] = []
        var cursor: RecordCursor = RecordCursor(self)
        while let view: RecordView = try cursor.next() {
            if view.offset >= offset { found.append(try self.record(view, topic: topic, partition: partition)) }
        }
        return found
    }
}
