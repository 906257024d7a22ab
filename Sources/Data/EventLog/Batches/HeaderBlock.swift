import Bytes

/// The headers of a record in their stored form, built once and copied as bytes into a batch.
///
/// Reused from record to record (`removeAll` keeps the memory), so that publishing allocates nothing for headers.
package struct HeaderBlock: Sendable {
    private(set) var count: Int = 0
    private(set) var writer: ByteWriter = ByteWriter()

    /// Bytes the headers take in a record.
    var size: Int { self.writer.count }

    package init() {}

    package init(_ headers: [RecordHeader]) {
        for header: RecordHeader in headers { self.add(header) }
    }

    package mutating func add(_ header: RecordHeader) {
        self.addName(header.name)
        guard let value: [UInt8] = header.value else { return self.writer.appendVarint(-1) }
        self.writer.appendVarint(Int64(value.count))
        self.writer.append(value)
    }

    package mutating func add(_ name: String, _ value: String) {
        self.addName(name)
        self.writer.appendVarint(Int64(value.utf8.count))
        self.writer.append(utf8: value)
    }

    /// Adds a header whose name is encoded already: the log's own.
    mutating func add(_ name: EncodedHeaderName, _ value: String) {
        self.count += 1
        self.writer.append(name.bytes)
        self.writer.appendVarint(Int64(value.utf8.count))
        self.writer.append(utf8: value)
    }

    /// Adds headers that are encoded already.
    mutating func add(_ block: HeaderBlock) {
        self.count += block.count
        self.writer.append(block.writer.bytes)
    }

    package mutating func removeAll() {
        self.count = 0
        self.writer.bytes.removeAll(keepingCapacity: true)
    }

    private mutating func addName(_ name: String) {
        self.count += 1
        self.writer.appendVarint(Int64(name.utf8.count))
        self.writer.append(utf8: name)
    }
}

/// A header's name with its length, as it stands in a record.
struct EncodedHeaderName: Sendable {
    let bytes: [UInt8]

    init(_ name: String) {
        var writer: ByteWriter = ByteWriter()
        writer.appendVarint(Int64(name.utf8.count))
        writer.append(utf8: name)
        self.bytes = writer.bytes
    }

    static let id: EncodedHeaderName = EncodedHeaderName("ce_id")
    static let source: EncodedHeaderName = EncodedHeaderName("ce_source")
    static let type: EncodedHeaderName = EncodedHeaderName("ce_type")
    static let subject: EncodedHeaderName = EncodedHeaderName("ce_subject")
    static let tenant: EncodedHeaderName = EncodedHeaderName("tenantid")
    static let actor: EncodedHeaderName = EncodedHeaderName("actor")
    static let traceparent: EncodedHeaderName = EncodedHeaderName("traceparent")
}
