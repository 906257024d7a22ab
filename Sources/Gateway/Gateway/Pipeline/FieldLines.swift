import HTTP

/// Header fields as one run of complete lines (`Name: value` CR LF) with an index of their places.
///
/// A value: cheap to send, to copy and to share between threads. Names keep the case they came with; look-ups ignore it.
struct FieldLines: Sendable {
    /// Where one line stands.
    struct Line: BitwiseCopyable, Sendable {
        var start: Int
        var nameCount: Int
        var valueStart: Int
        var valueCount: Int
        /// Behind its line end.
        var end: Int
    }

    private(set) var bytes: [UInt8] = []
    private(set) var lines: [Line] = []

    init() {}

    var isEmpty: Bool { self.lines.isEmpty }

    mutating func removeAll() {
        self.bytes.removeAll(keepingCapacity: true)
        self.lines.removeAll(keepingCapacity: true)
    }

    // MARK: Writing

    mutating func add(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) {
        var line: Line = Line(
            start: self.bytes.count, nameCount: name.count, valueStart: 0, valueCount: value.count, end: 0)
        self.bytes.append(contentsOf: name)
        self.bytes.append(0x3A)
        self.bytes.append(0x20)
        line.valueStart = self.bytes.count
        self.bytes.append(contentsOf: value)
        self.bytes.append(0x0D)
        self.bytes.append(0x0A)
        line.end = self.bytes.count
        self.lines.append(line)
    }

    /// The caller has made sure that neither holds a control character.
    mutating func add(_ name: String, _ value: String) {
        var name: String = name
        var value: String = value
        name.withUTF8 { (name: UnsafeBufferPointer<UInt8>) in
            value.withUTF8 { self.add(UnsafeRawBufferPointer(name), UnsafeRawBufferPointer($0)) }
        }
    }

    mutating func add(_ name: String, _ value: [UInt8]) {
        var name: String = name
        name.withUTF8 { (name: UnsafeBufferPointer<UInt8>) in
            value.withUnsafeBytes { self.add(UnsafeRawBufferPointer(name), $0) }
        }
    }

    /// Gives the field this value alone.
    mutating func set(_ name: String, _ value: String) {
        self.remove(name)
        self.add(name, value)
    }

    /// Adds complete lines (`Name: value` CR LF).
    mutating func addLines(_ lines: [UInt8]) {
        var start: Int = 0
        while let end: Int = lines[start...].firstIndex(of: 0x0A) {
            if let colon: Int = lines[start..<end].firstIndex(of: 0x3A), colon + 2 <= end - 1 {
                lines.withUnsafeBytes { (raw: UnsafeRawBufferPointer) in
                    self.add(
                        UnsafeRawBufferPointer(rebasing: raw[start..<colon]),
                        UnsafeRawBufferPointer(rebasing: raw[(colon + 2)..<(end - 1)]))
                }
            }
            start = end + 1
        }
    }

    mutating func append(_ other: FieldLines) {
        for line in other.lines {
            other.bytes.withUnsafeBytes { (raw: UnsafeRawBufferPointer) in
                self.add(
                    UnsafeRawBufferPointer(rebasing: raw[line.start..<line.start + line.nameCount]),
                    UnsafeRawBufferPointer(rebasing: raw[line.valueStart..<line.valueStart + line.valueCount]))
            }
        }
    }

    /// Takes every field of that name out, whatever its case.
    mutating func remove(_ name: String) {
        guard self.index(of: name) != nil else { return }
        let old: FieldLines = self
        self.removeLines { old.names(old.lines[$0], name) }
    }

    /// Takes out the lines whose places `drops` names.
    mutating func removeLines(_ drops: (Int) -> Bool) {
        var kept: FieldLines = FieldLines()
        kept.bytes.reserveCapacity(self.bytes.count)
        for index in self.lines.indices where !drops(index) {
            let line: Line = self.lines[index]
            let shift: Int = line.start - kept.bytes.count
            kept.bytes.append(contentsOf: self.bytes[line.start..<line.end])
            kept.lines.append(
                Line(
                    start: line.start - shift, nameCount: line.nameCount, valueStart: line.valueStart - shift,
                    valueCount: line.valueCount, end: line.end - shift))
        }
        self = kept
    }

    /// Adds a member to `Vary` unless it is there or the field says `*`.
    mutating func addVary(_ name: String) {
        for index in self.lines.indices where self.names(self.lines[index], "vary") {
            for member in self.text(at: index).split(separator: ",") {
                let trimmed: String = String(member.filter { $0 != " " && $0 != "\t" })
                if trimmed == "*" || trimmed.lowercased() == name.lowercased() { return }
            }
        }
        guard let index: Int = self.index(of: "vary") else {
            self.add("Vary", name)
            return
        }
        let value: String = self.text(at: index)
        self.removeLines { $0 == index }
        self.add("Vary", value.isEmpty ? name : "\(value), \(name)")
    }

    // MARK: Reading

    /// The first field of that name.
    func index(of name: String) -> Int? {
        for index in self.lines.indices where self.names(self.lines[index], name) { return index }
        return nil
    }

    func has(_ name: String) -> Bool { self.index(of: name) != nil }

    func nameText(at index: Int) -> String {
        let line: Line = self.lines[index]
        return String(decoding: self.bytes[line.start..<line.start + line.nameCount], as: UTF8.self)
    }

    func text(at index: Int) -> String { String(decoding: self.value(at: index), as: UTF8.self) }

    func value(at index: Int) -> ArraySlice<UInt8> {
        let line: Line = self.lines[index]
        return self.bytes[line.valueStart..<line.valueStart + line.valueCount]
    }

    /// The value of the first field of that name.
    func first(_ name: String) -> String? { self.index(of: name).map { self.text(at: $0) } }

    /// The values of all fields of that name as one list (RFC 9110, 5.3); nil when there is none.
    func joined(_ name: String) -> String? {
        var joined: String?
        for index in self.lines.indices where self.names(self.lines[index], name) {
            let text: String = self.text(at: index)
            joined = joined.map { $0 + ", " + text } ?? text
        }
        return joined
    }

    /// Whether the line at this place has that name, whatever its case.
    func hasName(at index: Int, _ name: String) -> Bool { self.names(self.lines[index], name) }

    private func names(_ line: Line, _ name: String) -> Bool {
        guard line.nameCount == name.utf8.count else { return false }
        var place: Int = line.start
        for byte in name.utf8 {
            if ASCIIBytes.lowered(self.bytes[place]) != ASCIIBytes.lowered(byte) { return false }
            place += 1
        }
        return true
    }
}
