/// The fields of one mapping: asked for by name, required or with a default. A field without value counts as absent.
package struct NodeFields {
    private let decoder: NodeDecoder
    private let known: [String]

    init(_ decoder: NodeDecoder, known: [String]) {
        self.decoder = decoder
        self.known = known
    }

    /// The field's reader, or nil when it is absent.
    package subscript(key: String) -> NodeDecoder? {
        assert(self.known.contains(key), "a field that is read is among those that are known")
        return self.decoder.child(key)
    }

    /// The field's reader; when it is absent, a problem is noted.
    package func required(_ key: String) -> NodeDecoder? {
        if let value: NodeDecoder = self[key] { return value }
        self.decoder.missing(key)
        return nil
    }

    /// What `read` makes of the field, or `absent` when it is not there. Nil only after a problem.
    package func value<Value>(_ key: String, default absent: Value, _ read: (NodeDecoder) -> Value?) -> Value? {
        guard let decoder: NodeDecoder = self[key] else { return absent }
        return read(decoder)
    }

    /// Notes a problem at the mapping itself, for rules that concern several fields.
    package func problem(_ message: String) { self.decoder.problem(message) }

    package func string(_ key: String, length: ClosedRange<Int> = 0...Int.max) -> String? {
        self.required(key)?.string(length: length)
    }

    package func string(_ key: String, default absent: String, length: ClosedRange<Int> = 0...Int.max) -> String? {
        self.value(key, default: absent) { $0.string(length: length) }
    }

    package func boolean(_ key: String, default absent: Bool) -> Bool? {
        self.value(key, default: absent) { $0.boolean() }
    }

    package func integer(_ key: String, in range: ClosedRange<Int>) -> Int? { self.required(key)?.integer(in: range) }

    package func integer(_ key: String, default absent: Int, in range: ClosedRange<Int>) -> Int? {
        self.value(key, default: absent) { $0.integer(in: range) }
    }

    package func duration(_ key: String, in range: ClosedRange<Duration>) -> Duration? {
        self.required(key)?.duration(in: range)
    }

    package func duration(_ key: String, default absent: Duration, in range: ClosedRange<Duration>) -> Duration? {
        self.value(key, default: absent) { $0.duration(in: range) }
    }

    package func byteCount(_ key: String, default absent: Int, in range: ClosedRange<Int>) -> Int? {
        self.value(key, default: absent) { $0.byteCount(in: range) }
    }

    package func choice<Value>(_ key: String, _ options: KeyValuePairs<String, Value>) -> Value? {
        self.required(key)?.choice(options)
    }

    package func choice<Value>(_ key: String, default absent: Value, _ options: KeyValuePairs<String, Value>) -> Value?
    {
        self.value(key, default: absent) { $0.choice(options) }
    }

    /// A list, which is empty when it is absent.
    package func list<Value>(
        _ key: String, count: ClosedRange<Int> = 0...Int.max, _ element: (NodeDecoder) -> Value?
    ) -> [Value]? {
        self.value(key, default: []) { $0.list(count: count, element) }
    }
}
