/// Records of all loops since the last batch, with the names behind their numbers.
package struct RecordBatch: Sendable {
    package internal(set) var records: [RequestRecord] = []
    /// Tries that were not the last of their request, among them those of requests whose record comes later.
    var attempts: [AttemptRecord] = []
    /// Names by number; shared between batches.
    package internal(set) var identities: [Identity] = [.none]
    /// Records lost since the gateway began, because rings were full.
    package internal(set) var dropped: UInt64 = 0
    /// Paths one behind the other, and where each ends; empty where rings keep none.
    private var pathBytes: [UInt8] = []
    private var pathEnds: [Int] = []

    package init() {}

    /// Takes records and names from elsewhere: for sinks' tests.
    package init(records: [RequestRecord], identities: [Identity]) {
        self.records = records
        self.identities = identities
    }

    package var isEmpty: Bool { self.records.isEmpty }

    /// What a number stands for.
    package func identity(_ number: IdentityNumber) -> Identity {
        let index: Int = Int(number.value)
        return index < self.identities.count ? self.identities[index] : .none
    }

    /// The beginning of a record's path, where rings keep paths.
    package func path(at index: Int) -> ArraySlice<UInt8>? {
        guard index < self.pathEnds.count else { return nil }
        let start: Int = index == 0 ? 0 : self.pathEnds[index - 1]
        return self.pathBytes[start..<self.pathEnds[index]]
    }

    /// The same for the time of the call, without a reference count; nil: no paths are kept.
    @inline(__always)
    func withPath<Result>(at index: Int, _ body: (UnsafeRawBufferPointer?) -> Result) -> Result {
        guard index < self.pathEnds.count else { return body(nil) }
        let start: Int = index == 0 ? 0 : self.pathEnds[index - 1]
        let end: Int = self.pathEnds[index]
        return self.pathBytes.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[start..<end])) }
    }

    mutating func append(path: UnsafeRawBufferPointer) {
        self.pathBytes.append(contentsOf: path)
        self.pathEnds.append(self.pathBytes.count)
    }

    /// Empties it for the next round; memory stays when nobody else holds it.
    mutating func removeRecords() {
        self.records.removeAll(keepingCapacity: true)
        self.attempts.removeAll(keepingCapacity: true)
        self.pathBytes.removeAll(keepingCapacity: true)
        self.pathEnds.removeAll(keepingCapacity: true)
    }
}

/// Takes records in batches: the link to the control plane, analytics, the access log.
///
/// Called on the collector's thread: it must neither block nor throw; what it cannot take it drops and counts.
package protocol RecordSink: Sendable {
    func receive(_ batch: RecordBatch)
}
