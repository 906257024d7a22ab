import Bytes
import Crypto
import Testing

@testable import Identity

struct QRCodeTests {
    /// The longest text of each version, as another program (segno 1.6) draws it: the beginning of the SHA-256 of its modules as zeros
    /// and ones, for each of the eight masks. Which mask is best, programs differ about; readers take all.
    @Test(
        arguments: [
            (14, 1, "7467e9ce 74d1e6ca ff942ccc f39a31f8 9bacbf42 e18dbd3d a50f777a 6715a1db"),
            (26, 2, "3afe62d5 c9fb7073 ad4987f5 5b2806cd b8008f96 4cb0e8eb 05f4fdbf dadd5b16"),
            (42, 3, "d81db865 e8cbcd28 0a1bdc16 66d73806 3c6da041 fc8dbc67 e144dd2f 3dca16da"),
            (62, 4, "a105c455 ca9c8bb9 405c5cf8 f035b7c4 4f6d3e9a f21def90 9c74bdb4 50130452"),
            (84, 5, "306a283b 731272b4 07cf71e0 44fb1136 fc7e83e6 efb77add dd9b7d67 500ce299"),
            (106, 6, "f925e981 c663f563 aae1a682 3f5245fc 3978d39f 53390dae 33df530e 1a0d171c"),
            (122, 7, "6866497e 64a91dc1 e8f5348b 54cb9855 cbbbea12 3461d44b a5920a87 fa812335"),
            (152, 8, "8d2abb2b de04237a 4b016e94 85f99f49 d12f9e42 887705e2 37b1d591 6d403faf"),
            (180, 9, "861fd6d0 7ed5d1b5 08642a52 acfeec02 b12f2d98 3d46d4a6 61c9112d a930f132"),
            (213, 10, "107c1d9b 84cfc2aa d76e505b 50d27382 e95d97a2 8dece372 54f55d21 f5a0b380"),
            (251, 11, "707d65db 4248f610 11ba30b4 80f3c1b2 b5190319 4435cc05 2cf03dc9 cd3c4443"),
            (287, 12, "fd0d2206 0a9aecc9 33f351e3 c8aca728 b06732c6 7f71c141 2e994d19 ca974fad"),
            (331, 13, "24a6ddbd d55949e5 ee06d4ac 8a54b1ee 08d7f051 03e806dc 2ab25228 eace056c"),
            (362, 14, "165e711d 51dd7986 e40104b1 f50cdd39 b2dc21ee 6d50ca1e 89b15e70 727f2471"),
            (412, 15, "8da94a06 377b201e 8a8cb541 44c4b435 92599a41 578f8d4d 6b67b6fe 73b1858e"),
            (450, 16, "f667a59d c7ff209b ba87e259 4be96c96 6d94c06a a08f570e b5abe325 2df8d23b"),
            (504, 17, "4f4e2b9a a727b861 330afe1c 2e979865 95898a54 a06267fa 81c953ab 1b9bf2a8"),
            (560, 18, "faee0e38 9ba05a43 3a59de4f 9f29395c f2077530 be99be6e a5e4db6c 9d33e6f9"),
            (624, 19, "f2cab6eb 58002e63 7eaccdd4 ab398e34 b5c57beb 2f1b9f90 f498ea82 3ad8c75a"),
            (666, 20, "06e87050 6027e421 e3b657d7 405c4db7 b87ecf5e 59ab47e9 bb089a95 cbf247a0"),
        ] as [(Int, Int, String)])
    func drawsWhatOthersDraw(count: Int, version: Int, hashes: String) throws {
        let text: String = String(String(repeating: "otpauth://totp/Passerelle:ada?secret=", count: 40).prefix(count))
        let code: QRCode = try #require(QRCode(text))
        #expect(code.side == version * 4 + 17)
        var bits: String = ""
        for row in 0..<code.side { for column in 0..<code.side { bits += code[row, column] ? "1" : "0" } }
        let expected: [Substring] = hashes.split(separator: " ")
        #expect(Hex.encode(SHA256.hash(bits)).prefix(8) == expected[code.mask], "mask \(code.mask)")
    }

    @Test func aTextThatIsTooLongHasNoPicture() {
        #expect(QRCode(String(repeating: "a", count: 666)) != nil)
        #expect(QRCode(String(repeating: "a", count: 667)) == nil)
    }

    @Test func thePictureHasItsQuietZoneAndAName() throws {
        let picture: String = try #require(QRCode("a")).svg(label: "A \"key\"")
        #expect(picture.contains("role=\"img\" aria-label=\"A &quot;key&quot;\""))
        #expect(picture.contains("viewBox=\"0 0 29 29\""))
        #expect(picture.contains("d=\"M4 4h7v1h-7z"), "the first finder begins after four modules")
        #expect(!picture.contains("style="))
    }
}
