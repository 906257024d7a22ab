/// Writes the fields of Protocol Buffers messages (encoding of proto3), in the order they are given.
///
/// As the encoding asks for, a field that has its default value is written only where the caller says so: none is left out here.
struct ProtobufWriter {
    private(set) var bytes: [UInt8] = []

    /// Kinds of fields, in the low three bits of a tag.
    private enum Wire: UInt64 {
        case varint = 0
        case fixed64 = 1
        case delimited = 2
        case fixed32 = 5
    }

    mutating func clear() { self.bytes.removeAll(keepingCapacity: true) }

    mutating func number(_ field: UInt64, _ value: UInt64) {
        self.tag(field, .varint)
        self.varint(value)
    }

    mutating func fixed64(_ field: UInt64, _ value: UInt64) {
        self.tag(field, .fixed64)
        withUnsafeBytes(of: value.littleEndian) { self.bytes.append(contentsOf: $0) }
    }

    mutating func fixed32(_ field: UInt64, _ value: UInt32) {
        self.tag(field, .fixed32)
        withUnsafeBytes(of: value.littleEndian) { self.bytes.append(contentsOf: $0) }
    }

    /// A string (which must be UTF-8), bytes, or a message written elsewhere.
    mutating func delimited(_ field: UInt64, _ value: some Collection<UInt8>) {
        self.begin(field, count: value.count)
        self.bytes.append(contentsOf: value)
    }

    /// The tag and length of a field whose `count` bytes the caller writes next.
    mutating func begin(_ field: UInt64, count: Int) {
        self.tag(field, .delimited)
        self.varint(UInt64(count))
    }

    /// Fields written elsewhere.
    mutating func append(_ fields: [UInt8]) { self.bytes.append(contentsOf: fields) }

    /// Numbers as bytes, most significant first: how ids of traces are sent.
    mutating func bigEndian(_ field: UInt64, _ words: UInt64...) {
        self.begin(field, count: words.count * 8)
        for word in words { withUnsafeBytes(of: word.bigEndian) { self.bytes.append(contentsOf: $0) } }
    }

    /// Bytes of a delimited field with a tag of one byte.
    static func size(ofDelimited count: Int) -> Int { 1 + self.size(UInt64(count)) + count }

    /// Bytes of a number.
    static func size(_ value: UInt64) -> Int { max(1, (64 - value.leadingZeroBitCount + 6) / 7) }

    private mutating func tag(_ field: UInt64, _ wire: Wire) { self.varint(field << 3 | wire.rawValue) }

    private mutating func varint(_ value: UInt64) {
        var rest: UInt64 = value
        while rest >= 0x80 {
            self.bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        self.bytes.append(UInt8(truncatingIfNeeded: rest))
    }
}
