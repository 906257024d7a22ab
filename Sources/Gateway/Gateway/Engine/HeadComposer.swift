import HTTP

/// Puts together the heads that go on: what came, without the fields that end here and with those that are added.
///
/// Lines are copied as they stood, in runs: a run ends where a line is left out.
enum HeadComposer {
    /// Copies the field lines of a head but for those that `drops` names.
    @inline(__always)
    static func copyFields(
        _ base: UnsafeRawPointer, from start: Int, to end: Int, table: HTTPFieldTable, count: Int,
        into out: inout ScratchWriter,
        drops: (HTTPField, Int) -> Bool
    ) {
        var runStart: Int = start
        let fields: UnsafeMutablePointer<HTTPField> = table.fields
        for index in 0..<count {
            let field: HTTPField = fields[index]
            guard drops(field, index) else { continue }
            let lineStart: Int = Int(field.nameStart)
            if lineStart > runStart { out.append(base + runStart, lineStart - runStart) }
            runStart = index + 1 < count ? Int(fields[index + 1].nameStart) : end
        }
        if end > runStart { out.append(base + runStart, end - runStart) }
    }

    /// Whether a Connection field of the head names the field. Only asked when one names more than `close` and its like.
    static func isNamedByConnection(
        _ field: HTTPField, _ base: UnsafeRawPointer, table: HTTPFieldTable, count: Int
    ) -> Bool {
        for index in 0..<count where table.fields[index].known == .connection {
            let value: Range<Int> = table.fields[index].valueRange
            var position: Int = value.lowerBound
            while position < value.upperBound {
                var stop: Int = position
                while stop < value.upperBound, !self.endsOption(base.load(fromByteOffset: stop, as: UInt8.self)) {
                    stop += 1
                }
                let name: UnsafeRawPointer = base + Int(field.nameStart)
                if stop - position == Int(field.nameCount),
                    WireText.equalsIgnoringCase(base + position, name, count: stop - position)
                {
                    return true
                }
                position = stop + 1
            }
        }
        return false
    }

    @inline(__always)
    private static func endsOption(_ byte: UInt8) -> Bool { byte == 0x2C || byte == 0x20 || byte == 0x09 }

    /// Whether the changes remove or replace the field.
    static func isChanged(_ field: HTTPField, _ base: UnsafeRawPointer, by changes: CompiledHeaderChanges) -> Bool {
        self.isNamed(field, base, by: changes.names)
    }

    /// Whether one of the lower-case names is the field's.
    static func isNamed(_ field: HTTPField, _ base: UnsafeRawPointer, by names: [[UInt8]]) -> Bool {
        for name in names where name.count == Int(field.nameCount) {
            let isSame: Bool = name.withUnsafeBytes { (wanted: UnsafeRawBufferPointer) -> Bool in
                guard let wanted: UnsafeRawPointer = wanted.baseAddress else { return false }
                return WireText.equalsIgnoringCase(base + Int(field.nameStart), wanted, count: Int(field.nameCount))
            }
            if isSame { return true }
        }
        return false
    }

    /// Writes the trailer fields that may go on, and the empty line that ends the section. Fields that frame, route or
    /// authenticate a message have no place there (RFC 9110, 6.5.1).
    static func appendTrailers(
        _ base: UnsafeRawPointer, table: HTTPFieldTable, count: Int, into out: inout ScratchWriter
    ) {
        for index in 0..<count {
            let field: HTTPField = table.fields[index]
            if field.known.framesMessage || field.known.isHopByHop { continue }
            out.append(base + Int(field.nameStart), Int(field.nameCount))
            out.append(": ")
            out.append(base + Int(field.valueStart), Int(field.valueCount))
            out.append("\r\n")
        }
        out.append("\r\n")
    }
}

extension HeadComposer {
    /// Whether the value holds the lower-case word somewhere, whatever its case.
    static func contains(_ value: UnsafeRawBufferPointer, _ word: StaticString) -> Bool {
        let length: Int = word.utf8CodeUnitCount
        guard let start: UnsafeRawPointer = value.baseAddress, value.count >= length else { return false }
        let wanted: UnsafeRawPointer = UnsafeRawPointer(word.utf8Start)
        for offset in 0...(value.count - length)
        where WireText.equalsIgnoringCase(start + offset, wanted, count: length) { return true }
        return false
    }
}
