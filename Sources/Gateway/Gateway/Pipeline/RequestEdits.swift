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

    mutating func reset() {
        self.path = nil
        self.query = nil
        self.body = nil
        self.removedFields.removeAll(keepingCapacity: true)
        self.addedLines.removeAll(keepingCapacity: true)
    }
}
