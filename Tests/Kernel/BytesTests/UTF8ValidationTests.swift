import Bytes
import Testing

struct UTF8ValidationTests {
    @Test(arguments: ["", "plain text, longer than a word", "é", "日本語", "😀", "\u{0}\u{7FF}\u{800}\u{FFFF}\u{10FFFF}"])
    func acceptsText(_ text: String) {
        #expect(UTF8Validation.firstInvalidOffset(in: Array(text.utf8)) == nil)
    }

    @Test(
        arguments: [
            ([0x80], 0), ([0x61, 0xC3], 1), ([0xC0, 0xAF], 0), ([0xE0, 0x80, 0x80], 0), ([0xED, 0xA0, 0x80], 0),
            ([0xF4, 0x90, 0x80, 0x80], 0), ([0xF5, 0x80, 0x80, 0x80], 0), ([0xE2, 0x82], 0), ([0xE2, 0x82, 0x41], 0),
            (Array(repeating: 0x61, count: 9) + [0xFF], 9),
        ] as [([UInt8], Int)])
    func findsTheFirstBadByte(_ bytes: [UInt8], _ offset: Int) {
        #expect(UTF8Validation.firstInvalidOffset(in: bytes) == offset)
    }
}
