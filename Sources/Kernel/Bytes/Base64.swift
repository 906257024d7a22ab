/// Base64 of RFC 4648: the standard alphabet with padding (section 4) and the URL alphabet without (section 5).
///
/// Decoding is strict: one text for one value. Wrong padding, foreign characters, white space and left-over bits are refused.
package enum Base64 {
    private static let standardAlphabet: [UInt8] = Array(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    private static let urlAlphabet: [UInt8] = Array(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)
    private static let standardValues: [UInt8] = values(of: standardAlphabet)
    private static let urlValues: [UInt8] = values(of: urlAlphabet)
    /// What a byte outside of the alphabet maps to.
    private static let foreign: UInt8 = 0xFF

    /// Standard alphabet, padded with `=` to a multiple of four.
    package static func encode(_ bytes: [UInt8]) -> String {
        self.encode(bytes, alphabet: self.standardAlphabet, padded: true)
    }

    /// The bytes of a padded text in the standard alphabet, or nil.
    package static func decode(_ text: String) -> [UInt8]? {
        var characters: [UInt8] = Array(text.utf8)
        guard characters.count.isMultiple(of: 4) else { return nil }
        var padding: Int = 0
        while padding < 2, characters.last == UInt8(ascii: "=") {
            characters.removeLast()
            padding += 1
        }
        return self.decode(characters, values: self.standardValues)
    }

    /// URL and file name alphabet (`-` and `_`), no padding.
    package static func encodeURL(_ bytes: [UInt8]) -> String {
        self.encode(bytes, alphabet: self.urlAlphabet, padded: false)
    }

    /// The bytes of an unpadded text in the URL alphabet, or nil.
    package static func decodeURL(_ text: String) -> [UInt8]? {
        self.decode(Array(text.utf8), values: self.urlValues)
    }

    private static func values(of alphabet: [UInt8]) -> [UInt8] {
        var table: [UInt8] = Array(repeating: self.foreign, count: 256)
        for (value, character) in alphabet.enumerated() { table[Int(character)] = UInt8(value) }
        return table
    }

    private static func encode(_ bytes: [UInt8], alphabet: [UInt8], padded: Bool) -> String {
        var text: [UInt8] = []
        text.reserveCapacity((bytes.count + 2) / 3 * 4)
        var index: Int = 0
        while index < bytes.count {
            let taken: Int = min(3, bytes.count - index)
            var group: UInt32 = UInt32(bytes[index]) << 16
            if taken > 1 { group |= UInt32(bytes[index + 1]) << 8 }
            if taken > 2 { group |= UInt32(bytes[index + 2]) }
            text.append(alphabet[Int(group >> 18)])
            text.append(alphabet[Int(group >> 12 & 63)])
            if taken > 1 {
                text.append(alphabet[Int(group >> 6 & 63)])
            } else if padded {
                text.append(UInt8(ascii: "="))
            }
            if taken > 2 { text.append(alphabet[Int(group & 63)]) } else if padded { text.append(UInt8(ascii: "=")) }
            index += 3
        }
        return String(decoding: text, as: UTF8.self)
    }

    private static func decode(_ characters: [UInt8], values: [UInt8]) -> [UInt8]? {
        guard characters.count % 4 != 1 else { return nil }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(characters.count * 3 / 4)
        var group: UInt32 = 0
        var bits: Int = 0
        for character: UInt8 in characters {
            let value: UInt8 = values[Int(character)]
            if value == self.foreign { return nil }
            group = group << 6 | UInt32(value)
            bits += 6
            if bits >= 8 {
                bits -= 8
                bytes.append(UInt8(truncatingIfNeeded: group >> UInt32(bits)))
                group &= (1 << UInt32(bits)) - 1
            }
        }
        // Bits that spell no whole byte must be zero, or two texts would mean the same bytes.
        return group == 0 ? bytes : nil
    }
}
