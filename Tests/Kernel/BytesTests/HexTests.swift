import Bytes
import Testing

struct HexTests {
    @Test func writesLowerCase() {
        #expect(Hex.encode([0x00, 0x0F, 0xA5, 0xFF]) == "000fa5ff")
        #expect(Hex.encode([]) == "")
    }

    @Test func readsEitherCase() {
        #expect(Hex.decode("00a5FF") == [0x00, 0xA5, 0xFF])
        #expect(Hex.decode("") == [])
    }

    @Test(arguments: ["a", "0g", "0x00", " 00", "00\n0", "é0"])
    func refuses(_ text: String) {
        #expect(Hex.decode(text) == nil)
    }
}
