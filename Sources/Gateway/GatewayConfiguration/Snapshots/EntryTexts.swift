/// Where the entries stand in the text of a snapshot or of a change to one: their bytes as they came are what the sender hashed,
/// if it wrote them in canonical form.
///
/// Knows the text as this version writes it, without white space. Of any other there is nothing, and each entry is brought into
/// its canonical form; nothing depends on this but time. The text has been read: what is no JSON does not come here.
struct EntryTexts {
    /// Entries of a whole document.
    private(set) var whole: [EntryKind: [Range<Int>]] = [:]
    /// Entries of a change.
    private(set) var changed: [EntryKind: [Range<Int>]] = [:]

    init?(_ bytes: [UInt8]) {
        let isRead: Bool = bytes.withUnsafeBufferPointer { bytes in
            var cursor: Cursor = Cursor(bytes: bytes)
            return cursor.members { (name: String, cursor: inout Cursor) -> Bool in
                if name == "changed" {
                    return cursor.members { (name: String, cursor: inout Cursor) -> Bool in
                        guard let kind = EntryKind(rawValue: name) else { return cursor.skip() }
                        guard let ranges: [Range<Int>] = cursor.elements() else { return false }
                        self.changed[kind] = ranges
                        return true
                    }
                }
                guard let kind = EntryKind(rawValue: name) else { return cursor.skip() }
                guard let ranges: [Range<Int>] = cursor.elements() else { return false }
                self.whole[kind] = ranges
                return true
            }
        }
        if !isRead { return nil }
    }

    /// Goes through a text value by value. Each step says whether it found what it looked for.
    private struct Cursor {
        let bytes: UnsafeBufferPointer<UInt8>
        var at: Int = 0

        private var current: UInt8 { self.at < self.bytes.count ? self.bytes[self.at] : 0 }

        private mutating func take(_ byte: UInt8) -> Bool {
            guard self.current == byte else { return false }
            self.at += 1
            return true
        }

        /// An object, whose values `value` goes over.
        mutating func members(_ value: (String, inout Cursor) -> Bool) -> Bool {
            guard self.take(UInt8(ascii: "{")) else { return false }
            if self.take(UInt8(ascii: "}")) { return true }
            repeat {
                let start: Int = self.at + 1
                guard self.current == UInt8(ascii: "\""), self.skipString() else { return false }
                let name: String = String(decoding: self.bytes[start..<(self.at - 1)], as: UTF8.self)
                guard self.take(UInt8(ascii: ":")), value(name, &self) else { return false }
            } while self.take(UInt8(ascii: ","))
            return self.take(UInt8(ascii: "}"))
        }

        /// Where each element of a list stands.
        mutating func elements() -> [Range<Int>]? {
            var ranges: [Range<Int>] = []
            guard self.take(UInt8(ascii: "[")) else { return nil }
            if self.take(UInt8(ascii: "]")) { return ranges }
            repeat {
                let start: Int = self.at
                guard self.skip() else { return nil }
                ranges.append(start..<self.at)
            } while self.take(UInt8(ascii: ","))
            return self.take(UInt8(ascii: "]")) ? ranges : nil
        }

        /// Goes over a value.
        mutating func skip() -> Bool {
            var depth: Int = 0
            let start: Int = self.at
            while self.at < self.bytes.count {
                switch self.bytes[self.at] {
                case UInt8(ascii: "\""):
                    guard self.skipString() else { return false }
                    if depth == 0 { return true }
                    continue
                case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
                case UInt8(ascii: "}"), UInt8(ascii: "]"):
                    // The end of what a number or a word stands in.
                    if depth == 0 { return self.at > start }
                    depth -= 1
                    if depth == 0 {
                        self.at += 1
                        return true
                    }
                case UInt8(ascii: ","): if depth == 0 { return self.at > start }
                default: break
                }
                self.at += 1
            }
            return false
        }

        private mutating func skipString() -> Bool {
            self.at += 1
            while self.at < self.bytes.count {
                let byte: UInt8 = self.bytes[self.at]
                self.at += byte == UInt8(ascii: "\\") ? 2 : 1
                if byte == UInt8(ascii: "\"") { return true }
            }
            return false
        }
    }
}
