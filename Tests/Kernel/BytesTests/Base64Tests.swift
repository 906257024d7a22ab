import Bytes
import Testing

struct Base64Tests {
    /// RFC 4648 section 10.
    static let vectors: [(plain: String, encoded: String)] = [
        ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"),
    ]

    @Test(arguments: vectors)
    func matchesTheStandardsVectors(_ plain: String, _ encoded: String) {
        #expect(Base64.encode(Array(plain.utf8)) == encoded)
        #expect(Base64.decode(encoded) == Array(plain.utf8))
    }

    @Test func usesTheURLAlphabetWithoutPadding() {
        #expect(Base64.encodeURL([0xFB, 0xFF, 0xFE, 0x01]) == "-__-AQ")
        #expect(Base64.decodeURL("-__-AQ") == [0xFB, 0xFF, 0xFE, 0x01])
        #expect(Base64.encode([0xFB, 0xFF, 0xFE]) == "+//+")
    }

    @Test func everyLengthComesBack() {
        var bytes: [UInt8] = []
        for length: Int in 0..<70 {
            #expect(Base64.decode(Base64.encode(bytes)) == bytes)
            #expect(Base64.decodeURL(Base64.encodeURL(bytes)) == bytes)
            bytes.append(UInt8(truncatingIfNeeded: length &* 37 &+ 11))
        }
    }

    @Test(arguments: ["Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "Zm 9", "Zm9v\n", "=", "====", "-__-", "Z===", "Zg==Zg=="])
    func refusesLooseStandardText(_ text: String) {
        #expect(Base64.decode(text) == nil)
    }

    @Test(arguments: ["Zg==", "Zh", "A", "AAAAA", "+//+", "Zm9v ", "Zé"])
    func refusesLooseURLText(_ text: String) {
        #expect(Base64.decodeURL(text) == nil)
    }
}
