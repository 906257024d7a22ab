import Bytes

/// Reads the tokens of a JSON text: strict RFC 8259 over bytes that outlive it.
struct JSONScanner {
    /// Digits of one number; a double is told apart by at most 767.
    static let numberBytesMax: Int = 1024

    let bytes: UnsafeRawBufferPointer
    var position: Int = 0

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    @inline(__always)
    mutating func skipWhitespace() {
        while self.position < self.bytes.count {
            let byte: UInt8 = self.bytes[self.position]
            // Space, line feed, carriage return, tab: RFC 8259 section 2 knows no others.
            if byte > 0x20 || (byte != 0x20 && byte != 0x0A && byte != 0x0D && byte != 0x09) { return }
            self.position += 1
        }
    }

    /// The next byte, or 0 at the end (which no token begins with).
    @inline(__always)
    var current: UInt8 { self.position < self.bytes.count ? self.bytes[self.position] : 0 }

    // MARK: Literals

    mutating func literal(_ text: StaticString) throws(JSONError) {
        let length: Int = text.utf8CodeUnitCount
        for offset: Int in 0..<length {
            let place: Int = self.position + offset
            guard place < self.bytes.count, self.bytes[place] == text.utf8Start[offset] else {
                throw self.unexpected("a value (did you mean '\(text)'?)", at: min(place, self.bytes.count))
            }
        }
        self.position += length
    }

    // MARK: Strings

    /// Reads a string; `position` stands on its opening quote.
    mutating func string() throws(JSONError) -> String {
        let start: Int = self.position + 1
        var isASCII: Bool = true
        let stop: Int = self.endOfPlainRun(from: start, isASCII: &isASCII)
        guard stop < self.bytes.count else { throw self.failure("expected a closing '\"', found the end", at: stop) }
        guard self.bytes[stop] == UInt8(ascii: "\"") else { return try self.stringWithEscapes(from: start) }
        self.position = stop + 1
        let run: UnsafeRawBufferPointer = UnsafeRawBufferPointer(rebasing: self.bytes[start..<stop])
        if isASCII { return String(decoding: run, as: UTF8.self) }
        return try self.validated(run, at: start)
    }

    /// Where the first quote, backslash or control character stands from `start` on; eight bytes a step.
    @inline(__always)
    private func endOfPlainRun(from start: Int, isASCII: inout Bool) -> Int {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let highs: UInt64 = 0x8080_8080_8080_8080
        var index: Int = start
        var seen: UInt64 = 0
        while index + 8 <= self.bytes.count {
            let word: UInt64 = UInt64(littleEndian: self.bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self))
            let quotes: UInt64 = word ^ (ones &* 0x22)
            let slashes: UInt64 = word ^ (ones &* 0x5C)
            // Each term has the high bit set in a byte that is what it looks for; borrows only spoil bytes above the first.
            let hits: UInt64 =
                ((quotes &- ones) & ~quotes | (slashes &- ones) & ~slashes | (word &- ones &* 0x20) & ~word) & highs
            if hits != 0 {
                let length: Int = hits.trailingZeroBitCount >> 3
                seen |= length == 0 ? 0 : word & (UInt64.max >> UInt64(64 - 8 * length))
                isASCII = seen & highs == 0
                return index + length
            }
            seen |= word
            index += 8
        }
        while index < self.bytes.count {
            let byte: UInt8 = self.bytes[index]
            if byte == 0x22 || byte == 0x5C || byte < 0x20 { break }
            seen |= UInt64(byte)
            index += 1
        }
        isASCII = seen & highs == 0
        return index
    }

    private func validated(_ run: UnsafeRawBufferPointer, at start: Int) throws(JSONError) -> String {
        guard let text: String = String(validating: run, as: UTF8.self) else {
            let offset: Int = start + (UTF8Validation.firstInvalidOffset(in: run) ?? 0)
            throw self.failure("expected UTF-8, found byte 0x\(Hex.encode([self.bytes[offset]]))", at: offset)
        }
        return text
    }

    private mutating func stringWithEscapes(from start: Int) throws(JSONError) -> String {
        var collected: [UInt8] = []
        var index: Int = start
        while true {
            var isASCII: Bool = true
            let stop: Int = self.endOfPlainRun(from: index, isASCII: &isASCII)
            let run: UnsafeRawBufferPointer = UnsafeRawBufferPointer(rebasing: self.bytes[index..<stop])
            if !isASCII, let offset: Int = UTF8Validation.firstInvalidOffset(in: run) {
                let byte: UInt8 = run[offset]
                throw self.failure("expected UTF-8, found byte 0x\(Hex.encode([byte]))", at: index + offset)
            }
            collected.append(contentsOf: run)
            guard stop < self.bytes.count else {
                throw self.failure("expected a closing '\"', found the end", at: stop)
            }
            self.position = stop
            switch self.bytes[stop] {
            case UInt8(ascii: "\""):
                self.position = stop + 1
                return String(decoding: collected, as: UTF8.self)
            case UInt8(ascii: "\\"):
                try self.escape(into: &collected)
                index = self.position
            default:
                let byte: UInt8 = self.bytes[stop]
                throw self.failure("expected control character 0x\(Hex.encode([byte])) to be escaped", at: stop)
            }
        }
    }

    /// Reads one escape; `position` stands on its backslash.
    private mutating func escape(into collected: inout [UInt8]) throws(JSONError) {
        let start: Int = self.position
        self.position += 1
        let kind: UInt8 = self.current
        self.position += 1
        switch kind {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): collected.append(kind)
        case UInt8(ascii: "b"): collected.append(0x08)
        case UInt8(ascii: "f"): collected.append(0x0C)
        case UInt8(ascii: "n"): collected.append(0x0A)
        case UInt8(ascii: "r"): collected.append(0x0D)
        case UInt8(ascii: "t"): collected.append(0x09)
        case UInt8(ascii: "u"): collected.append(contentsOf: String(try self.escapedScalar(from: start)).utf8)
        default: throw self.unexpected("an escape (one of \" \\ / b f n r t u)", at: start + 1)
        }
    }

    /// The scalar of `\uXXXX` or of a surrogate pair of two; `position` stands after the `u`.
    private mutating func escapedScalar(from start: Int) throws(JSONError) -> Unicode.Scalar {
        let first: UInt32 = try self.fourDigits()
        if let scalar: Unicode.Scalar = Unicode.Scalar(first) { return scalar }
        guard first < 0xDC00, self.current == UInt8(ascii: "\\"), self.position + 1 < self.bytes.count,
            self.bytes[self.position + 1] == UInt8(ascii: "u")
        else { throw self.failure("expected a surrogate pair, found a lone surrogate", at: start) }
        self.position += 2
        let second: UInt32 = try self.fourDigits()
        guard (0xDC00...0xDFFF).contains(second),
            let scalar: Unicode.Scalar = Unicode.Scalar(0x10000 + (first - 0xD800) << 10 + (second - 0xDC00))
        else { throw self.failure("expected a surrogate pair, found a lone surrogate", at: start) }
        return scalar
    }

    private mutating func fourDigits() throws(JSONError) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard self.position < self.bytes.count, let digit: UInt8 = Hex.value(of: self.bytes[self.position]) else {
                throw self.unexpected("four hexadecimal digits", at: self.position)
            }
            value = value << 4 | UInt32(digit)
            self.position += 1
        }
        return value
    }

    // MARK: Problems

    func failure(_ message: String, at offset: Int) -> JSONError { JSONError(message, at: offset, in: self.bytes) }

    /// "expected …, found …" with what stands at `offset`.
    func unexpected(_ wanted: String, at offset: Int) -> JSONError {
        guard offset < self.bytes.count else {
            return self.failure("expected \(wanted), found the end", at: self.bytes.count)
        }
        let byte: UInt8 = self.bytes[offset]
        let found: String
        if byte > 0x20, byte < 0x7F {
            found = "'\(Character(Unicode.Scalar(byte)))'"
        } else {
            found = "byte 0x\(Hex.encode([byte]))"
        }
        return self.failure("expected \(wanted), found \(found)", at: offset)
    }
}
