/// What a collector's answer says besides its status: `ExportTraceServiceResponse` of OTLP, in Protocol Buffers.
///
/// Field 1 is `partial_success`, a message whose field 1 counts the spans that were not taken and whose field 2 says why. Other fields
/// are skipped; what cannot be read says nothing: the batch was taken, and sending it again would double it.
package enum SpanAnswer {
    /// Spans of a batch of `count` that the collector did not take.
    package static func rejected(_ bytes: [UInt8], of count: Int) -> Int {
        var fields: Fields = Fields(bytes[...])
        var rejected: UInt64 = 0
        while let field: Fields.Field = fields.next() {
            guard field.number == 1, case .bytes(let message) = field.value else { continue }
            var inner: Fields = Fields(message)
            while let field: Fields.Field = inner.next() {
                if field.number == 1, case .number(let value) = field.value { rejected = value }
            }
        }
        // A negative number, which means nothing, is a very large one here.
        if rejected > UInt64(Int64.max) { return 0 }
        return min(Int(rejected), count)
    }

    /// The fields of a message, one after the other; ends at the first that cannot be read.
    private struct Fields {
        enum Value {
            case number(UInt64)
            case bytes(ArraySlice<UInt8>)
        }

        struct Field {
            let number: UInt64
            let value: Value
        }

        private var rest: ArraySlice<UInt8>

        init(_ bytes: ArraySlice<UInt8>) { self.rest = bytes }

        mutating func next() -> Field? {
            guard let tag: UInt64 = self.varint() else { return nil }
            let value: Value?
            switch tag & 7 {
            case 0: value = self.varint().map { .number($0) }
            case 1: value = self.take(8).map { .bytes($0) }
            case 2: value = self.varint().flatMap { Int(exactly: $0) }.flatMap { self.take($0) }.map { .bytes($0) }
            case 5: value = self.take(4).map { .bytes($0) }
            default: value = nil
            }
            return value.map { Field(number: tag >> 3, value: $0) }
        }

        private mutating func take(_ count: Int) -> ArraySlice<UInt8>? {
            guard count <= self.rest.count else { return nil }
            defer { self.rest = self.rest.dropFirst(count) }
            return self.rest.prefix(count)
        }

        /// At most ten bytes of seven bits.
        private mutating func varint() -> UInt64? {
            var value: UInt64 = 0
            for place: UInt64 in 0..<10 {
                guard let byte: UInt8 = self.rest.popFirst() else { return nil }
                value |= UInt64(byte & 0x7F) << (7 * place)
                if byte & 0x80 == 0 { return value }
            }
            return nil
        }
    }
}
