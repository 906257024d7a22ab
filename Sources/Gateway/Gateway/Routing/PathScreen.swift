/// Brings a request's path into the one form that is matched and forwarded, and refuses paths that others may read otherwise.
///
/// A policy chosen by path only protects when the upstream reads the same path. So what was matched is what is forwarded:
/// - Percent-encoded unreserved characters are decoded (`/%61dmin` is `/admin`, RFC 3986 section 6.2.2.2); digits of other
///   encodings become upper case; characters a path cannot hold plain are encoded.
/// - Dot segments are refused, plain or encoded, also between encoded slashes and before a `;` (`/..`, `/%2e%2e`, `/..%2f`,
///   `/..;x`): servers differ in when they remove them.
/// - Empty segments (`//`) are refused but for a trailing slash: many servers merge them.
/// - Backslashes, control characters, spaces and `%00` are refused.
/// - `%2F` and `%5C` are kept and reported: an API says whether it takes them (`encoded_slashes`).
package enum PathScreen {
    package struct Result: BitwiseCopyable, Sendable {
        package var verdict: Verdict
        /// The path holds `%2F` or `%5C`.
        package var hasEncodedSlash: Bool
        /// Bytes in the scratch buffer when rewritten.
        package var length: Int
    }

    package enum Verdict: UInt8, BitwiseCopyable, Sendable {
        /// In normal form as it stands.
        case plain
        /// Its normal form is in the scratch buffer.
        case rewritten
        /// Answer 400.
        case refused
    }

    /// Bytes of scratch memory a path of this length may need.
    package static func scratchNeeded(_ length: Int) -> Int { length * 3 }

    /// The normal form of a path; nil: it has none. Allocates.
    package static func normal(_ path: String) -> String? {
        let bytes: [UInt8] = Array(path.utf8)
        var scratch: [UInt8] = [UInt8](repeating: 0, count: self.scratchNeeded(bytes.count))
        let result: Result = bytes.withUnsafeBytes { raw in
            scratch.withUnsafeMutableBytes { self.screen(raw, scratch: $0) }
        }
        switch result.verdict {
        case .refused: return nil
        case .plain: return path
        case .rewritten: return String(decoding: scratch[..<result.length], as: UTF8.self)
        }
    }

    /// Screens a path. Writes only when the path is not in normal form; cost: one pass, no allocation.
    package static func screen(_ path: UnsafeRawBufferPointer, scratch: UnsafeMutableRawBufferPointer) -> Result {
        guard let base: UnsafeRawPointer = path.baseAddress, path.count > 0, path[0] == UInt8(ascii: "/") else {
            return Result(verdict: .refused, hasEncodedSlash: false, length: 0)
        }
        // The usual path: plain characters, and segments that are neither empty nor start with a dot.
        var index: Int = 1
        var previous: UInt8 = UInt8(ascii: "/")
        while index < path.count {
            let byte: UInt8 = base.load(fromByteOffset: index, as: UInt8.self)
            if byte == UInt8(ascii: "/") {
                if previous == byte { return Result(verdict: .refused, hasEncodedSlash: false, length: 0) }
            } else if !PlainBytes.contains(byte) || (byte == UInt8(ascii: ".") && previous == UInt8(ascii: "/")) {
                return self.rewrite(path, scratch: scratch)
            }
            previous = byte
            index &+= 1
        }
        return Result(verdict: .plain, hasEncodedSlash: false, length: path.count)
    }

    /// The careful pass: decodes, encodes, and looks at every segment.
    private static func rewrite(_ path: UnsafeRawBufferPointer, scratch: UnsafeMutableRawBufferPointer) -> Result {
        let refused: Result = Result(verdict: .refused, hasEncodedSlash: false, length: 0)
        guard scratch.count >= self.scratchNeeded(path.count) else { return refused }
        var out: Int = 0
        var segment: DotRule = DotRule()
        var hasEncodedSlash: Bool = false
        var index: Int = 0
        while index < path.count {
            var byte: UInt8 = path[index]
            index += 1
            var isEncoded: Bool = false
            if byte == UInt8(ascii: "%") {
                guard index + 1 < path.count, let high: UInt8 = PlainBytes.hexValue(path[index]),
                    let low: UInt8 = PlainBytes.hexValue(path[index + 1])
                else { return refused }
                byte = high << 4 | low
                index += 2
                isEncoded = true
            }
            let isSlash: Bool = byte == UInt8(ascii: "/") || byte == UInt8(ascii: "\\")
            if byte == 0 || (!isEncoded && (byte <= 0x20 || byte == 0x7f || byte == UInt8(ascii: "\\"))) {
                return refused
            }
            if isSlash {
                let startsPath: Bool = out == 0
                if segment.isDots || (segment.isEmpty && !startsPath) { return refused }
                segment = DotRule()
                hasEncodedSlash = hasEncodedSlash || isEncoded
            } else {
                segment.add(byte)
            }
            if isEncoded ? PlainBytes.isUnreserved(byte) : PlainBytes.contains(byte) || byte == UInt8(ascii: "/") {
                scratch[out] = byte
                out += 1
            } else {
                scratch[out] = UInt8(ascii: "%")
                scratch[out + 1] = PlainBytes.digit(byte >> 4)
                scratch[out + 2] = PlainBytes.digit(byte & 15)
                out += 3
            }
        }
        if segment.isDots { return refused }
        let isSame: Bool = out == path.count && path.elementsEqual(scratch[..<out])
        return Result(verdict: isSame ? .plain : .rewritten, hasEncodedSlash: hasEncodedSlash, length: out)
    }
}

/// Sees whether a segment is `.` or `..`, whatever follows a `;` in it.
private struct DotRule {
    private var dots: Int = 0
    private var others: Int = 0
    private var isBehindSemicolon: Bool = false
    var isEmpty: Bool = true

    mutating func add(_ byte: UInt8) {
        self.isEmpty = false
        if byte == UInt8(ascii: ";") { self.isBehindSemicolon = true }
        if self.isBehindSemicolon { return }
        if byte == UInt8(ascii: ".") { self.dots += 1 } else { self.others += 1 }
    }

    var isDots: Bool { self.others == 0 && (self.dots == 1 || self.dots == 2) }
}

/// The characters a path segment holds plain, as two masks of 64 bits.
enum PlainBytes {
    /// `pchar` of RFC 3986 section 3.3 without `%`.
    private static let low: UInt64 = 0x2fff_7fd2_0000_0000
    private static let high: UInt64 = 0x47ff_fffe_87ff_ffff
    /// `unreserved` of RFC 3986 section 2.3.
    private static let unreservedLow: UInt64 = 0x03ff_6000_0000_0000

    @inline(__always)
    static func contains(_ byte: UInt8) -> Bool {
        if byte < 64 { return self.low >> UInt64(byte) & 1 != 0 }
        return byte < 128 && self.high >> UInt64(byte & 63) & 1 != 0
    }

    @inline(__always)
    static func isUnreserved(_ byte: UInt8) -> Bool {
        if byte < 64 { return self.unreservedLow >> UInt64(byte) & 1 != 0 }
        // Letters, '_' and '~' are all of the upper half's pchar but '@'.
        return byte != UInt8(ascii: "@") && self.contains(byte)
    }

    static func hexValue(_ byte: UInt8) -> UInt8? {
        if byte &- 0x30 < 10 { return byte &- 0x30 }
        let lower: UInt8 = byte | 0x20
        return lower &- 0x61 < 6 ? lower &- 0x61 &+ 10 : nil
    }

    static func digit(_ value: UInt8) -> UInt8 { value < 10 ? 0x30 + value : 0x41 + value - 10 }
}
