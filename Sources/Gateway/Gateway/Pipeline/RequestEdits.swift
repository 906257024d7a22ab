/// What stages change of a request before it goes upstream; the client's own request stays as it came.
struct RequestEdits {
    /// The path behind the target's base path, instead of the client's (without the API's prefix).
    var path: [UInt8]?
    /// The query without its question mark, instead of the client's; empty: none.
    var query: [UInt8]?
    /// Lower-case names of fields left out: those removed and those set.
    var removedFields: [[UInt8]] = []
    /// Complete lines of fields added.
    var addedLines: [UInt8] = []
    /// The body instead of the client's. Only after the client's was collected (`needsBody`), or when it has none.
    var body: [UInt8]?

    var isEmpty: Bool {
        self.path == nil && self.query == nil && self.body == nil && self.removedFields.isEmpty
            && self.addedLines.isEmpty
    }

    /// Gives a field this value alone. The caller has made sure that name and value hold no control characters.
    mutating func setField(_ name: String, _ value: String) {
        self.removeField(name)
        self.addField(name, value)
    }

    mutating func addField(_ name: String, _ value: String) {
        self.addedLines.append(contentsOf: name.utf8)
        self.addedLines.append(contentsOf: ": ".utf8)
        self.addedLines.append(contentsOf: value.utf8)
        self.addedLines.append(contentsOf: "\r\n".utf8)
    }

    /// Takes the client's fields of that name out; what other stages added stays.
    mutating func removeField(_ name: String) { self.removedFields.append(Array(name.lowercased().utf8)) }

    /// Takes the client's fields of these lower-case names out: only the gateway may set them. Many servers hand fields on as
    /// variables, where `X_User` is the same as `X-User`: such fields go too.
    mutating func reserve(_ names: [[UInt8]], from fields: FieldTable) {
        self.removedFields.append(contentsOf: names)
        for index in 0..<fields.count {
            let name: [UInt8] = fields.name(at: index).map { ASCIIBytes.lowered($0) }
            guard name.contains(UInt8(ascii: "_")) else { continue }
            let dashed: [UInt8] = Self.dashed(name)
            for own in names where Self.dashed(own) == dashed { self.removedFields.append(name) }
        }
    }

    private static func dashed(_ name: [UInt8]) -> [UInt8] {
        name.map { $0 == UInt8(ascii: "_") ? UInt8(ascii: "-") : $0 }
    }

    /// Whether the client's fields of this lower-case name stay behind.
    func removes(_ name: String) -> Bool {
        !self.removedFields.isEmpty && self.removedFields.contains(Array(name.utf8))
    }

    /// The values of fields of this name that stages have added.
    func addedValues(_ name: String) -> [String] {
        if self.addedLines.isEmpty { return [] }
        var lines: FieldLines = FieldLines()
        lines.addLines(self.addedLines)
        return lines.lines.indices.filter { lines.hasName(at: $0, name) }.map { lines.text(at: $0) }
    }

    mutating func reset() {
        self.path = nil
        self.query = nil
        self.body = nil
        self.removedFields.removeAll(keepingCapacity: true)
        self.addedLines.removeAll(keepingCapacity: true)
    }
}
